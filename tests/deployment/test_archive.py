"""One file that holds a deployed network, and what happens to it on the way."""

import json
import stat

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import videowino
from tests.deployment.networks import CLIP, Network, trained
from videowino.deployment import archive

CLASSES = ["a", "b", "c", "d", "e"]
HOW = videowino.Preprocessing(frames=4, size=(20, 20), resize=None, mean=None)


def saved(tmp_path, model=None, **options):
    deployed = videowino.deploy(model or trained(Network()), CLIP, budget=0, **options)
    path = tmp_path / "model.vwino"
    deployed.save(path)
    return deployed, path


def test_it_comes_back_as_it_was(tmp_path):
    deployed, path = saved(tmp_path, class_names=CLASSES, preprocessing=HOW)
    loaded = videowino.load(path, budget=0)
    torch.testing.assert_close(loaded(CLIP), deployed(CLIP), rtol=1e-4, atol=1e-4)
    assert loaded.class_names == CLASSES and loaded.preprocessing == HOW
    assert loaded.example_shape == CLIP.shape and loaded.traced
    with torch.no_grad():
        assert loaded(CLIP[:1, :, :3, :18, :15]).shape == (1, 5)
    assert list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


@pytest.mark.parametrize("parameterization", ["spatial", "vanilla", "low_rank", "factored"])
@pytest.mark.parametrize(("compensate", "strided"), [(False, False), (True, True)])
def test_winograd_layers_of_every_kind(tmp_path, parameterization, compensate, strided):
    model = trained(Network())
    videowino.convert(
        model, parameterization=parameterization, rank=5, tile=(2, 4, 4), strided=strided
    )
    torch.manual_seed(1)
    for parameter in model.parameters():  # as if trained
        parameter.data += 0.1 * parameter.detach().std().nan_to_num(1) * torch.randn_like(parameter)
    videowino.prune(model, 0.5, compensate=compensate)
    deployed, path = saved(tmp_path, model.eval())
    loaded = videowino.load(path, budget=0)
    assert loaded.check(model, [CLIP]) < 1e-4
    columns = [layer.columns for layer in loaded.report(repeats=1).layers]
    assert columns.count("72/144") == 3
    assert columns.count("203/405") == strided  # 202.5, the nearest even number pruned
    again = tmp_path / "again.vwino"
    loaded.save(again)
    assert videowino.load(again, budget=0).check(model, [CLIP]) < 1e-4


class Busy(nn.Module):
    """Operations of many kinds."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3, padding=1)
        self.up = nn.ConvTranspose3d(4, 4, 2, stride=2)
        self.norm = nn.GroupNorm(2, 8)
        self.offset = nn.Parameter(torch.randn(8, 1, 1, 1))
        self.register_buffer("scale", torch.tensor(2.0))
        self.mix = nn.Sequential(nn.Conv3d(8, 8, 1), nn.PReLU(), nn.AvgPool3d((1, 2, 2)))

    def forward(self, x):
        y = F.max_pool3d(self.conv(x), (1, 2, 2))
        y = torch.cat([F.interpolate(y, x.shape[2:], mode="trilinear"), self.up(y)[:, :, :4]], 1)
        y = self.mix(self.norm(y) * self.scale + self.offset) - 1.5
        a, b = y.chunk(2, dim=1)
        y = (a[..., 1:] * b[..., :-1]).to(torch.float32).permute(0, 2, 3, 4, 1)
        return {"y": y.contiguous().view(x.size(0), -1), "mean": y.mean((1, 2, 3))}


def test_a_graph_of_many_operations(tmp_path):
    model = trained(Busy())
    _, path = saved(tmp_path, model)
    loaded = videowino.load(path, budget=0)
    with torch.no_grad():
        torch.testing.assert_close(loaded(CLIP), model(CLIP), rtol=1e-4, atol=1e-4)


def test_tied_weights_are_stored_once(tmp_path):
    model = nn.Sequential(nn.Conv3d(3, 3, 3, padding=1), nn.Conv3d(3, 3, 3, padding=1))
    model[1].weight = model[0].weight
    _, path = saved(tmp_path, model)
    with safe_open(path, "pt") as opened:
        assert len(opened.keys()) == 3


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 0.9999])
def test_cut_short(tmp_path, share):
    _, path = saved(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match="is no deployed model, or only a part of one"):
        videowino.load(path)


@pytest.mark.parametrize("place", [0.3, 0.6, -1])
def test_changed(tmp_path, place):
    _, path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[int(place * len(data)) if place > 0 else place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="changed after it was saved|no deployed model"):
        videowino.load(path)


def rewritten(path, change):
    """The same file with other contents, and a digest that fits them."""
    with safe_open(path, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        content = json.loads(opened.metadata()["videowino"])
    change(content)
    text = json.dumps(content)
    metadata = {"videowino": text, "digest": archive._digest(text, tensors)}
    save_file(tensors, path, metadata)


def test_a_newer_one(tmp_path):
    _, path = saved(tmp_path)
    rewritten(path, lambda content: content.update(version=2))
    with pytest.raises(ValueError, match="is of format 2, this videowino reads up to 1"):
        videowino.load(path)


def evil_function(content):
    content["graph"]["nodes"][1] |= {"op": "call_function", "target": "torch.load", "args": ["x"]}


def evil_attribute(content):
    node = content["graph"]["nodes"][1]
    content["graph"]["nodes"][1] = node | {
        "op": "call_function",
        "target": "getattr",
        "args": {"tuple": [{"node": content["graph"]["nodes"][0]["name"]}, "__class__"]},
    }


def evil_method(content):
    content["graph"]["nodes"][1] |= {"op": "call_method", "target": "__reduce__"}


def evil_class(content):
    name = next(iter(content["graph"]["modules"]))
    content["graph"]["modules"][name] = {"kind": "module", "class": "subprocess.Popen"}


def evil_override(content):
    name = next(iter(content["graph"]["modules"]))
    content["graph"]["modules"][name] = {
        "kind": "module",
        "class": "torch.nn.modules.activation.ReLU",
        "attributes": {"forward": "x"},
    }


def missing_node(content):
    content["graph"]["nodes"][1]["args"] = {"tuple": [{"node": "nobody"}]}


def other_shape(content):
    for module in content["graph"]["modules"].values():
        if module["kind"] == "convolution":
            module["conv"]["settings"]["out_channels"] = 99


@pytest.mark.parametrize(
    "change",
    [
        evil_function,
        evil_attribute,
        evil_method,
        evil_class,
        evil_override,
        missing_node,
        other_shape,
    ],
)
def test_what_no_file_of_ours_says_is_refused(tmp_path, change):
    _, path = saved(tmp_path)
    rewritten(path, change)
    with pytest.raises(ValueError, match="holds a network that cannot be read"):
        videowino.load(path)


@pytest.mark.parametrize(
    "about",
    [
        {"example_shape": 3},
        {"example_shape": [1, 3, 4, -8, 8]},
        {"example_shape": [1, 3, 4, "x", 8]},
        {"example_shape": [1, 3, 10**12, 8, 8]},
        {"example_shape": [1, 3]},
        {"preprocessing": 0.5},
        {"class_names": 0.5},
    ],
)
def test_a_network_that_does_not_run(tmp_path, about):
    _, path = saved(tmp_path)
    rewritten(path, lambda content: content.update(about))
    with pytest.raises(ValueError, match="holds a network that does not run: "):
        videowino.load(path)


def test_no_file_makes_clips_of_gigabytes(tmp_path):
    model, path = saved(tmp_path)
    rewritten(path, lambda content: content.update(example_shape=[1, 3, 10**9, 8, 8]))
    loaded = videowino.load(path)
    clip = torch.randn(model.example_shape)
    assert torch.allclose(loaded(clip), model(clip), atol=1e-4)


def test_a_version_that_is_no_number(tmp_path):
    _, path = saved(tmp_path)
    rewritten(path, lambda content: content.update(version=float("inf")))
    with pytest.raises(ValueError, match="holds tensors but no deployed model"):
        videowino.load(path)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such deployed model"):
        videowino.load(tmp_path / "missing.vwino")
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        videowino.load(tmp_path)
    save_file({"a": torch.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="holds tensors but no deployed model"):
        videowino.load(tmp_path / "weights.safetensors")


class Own(nn.Module):
    def forward(self, x):
        return x if x.mean() > 0 else -x


class Wayward(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3)

    def forward(self, x):
        y = self.conv(x)
        return y if y.mean() > 0 else -y


@pytest.mark.filterwarnings("ignore:Wayward has no graph")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Conv3d(3, 4, 3), Own()), "is a .*Own, which a file without code"),
        (Wayward(), "this network has no graph"),
    ],
)
def test_what_a_file_cannot_hold_is_said(tmp_path, model, message):
    deployed = videowino.deploy(model, CLIP, budget=0)
    with pytest.raises(ValueError, match=message):
        deployed.save(tmp_path / "model.vwino")
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays_where_saving_fails(tmp_path, monkeypatch):
    deployed, path = saved(tmp_path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        deployed.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
