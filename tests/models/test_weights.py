"""Weights files in every format people have, and everything that may be wrong with one."""

import os
import re
import shutil
import urllib.error
import warnings
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import videowino
from videowino.compat import torchvision
from videowino.models import create_model

NAME, TINY = "r3d_18", {"width": 0.125}


@pytest.fixture
def dense() -> dict[str, Tensor]:
    """The weights of some trained R3D-18 of 5 classes."""
    torch.manual_seed(7)
    model = create_model(NAME, 5, **TINY)
    for buffer in model.buffers():
        if buffer.dtype == torch.float32:
            buffer.uniform_(0.5, 1.5)
    return model.state_dict()


def load(path: str | Path, name: str = NAME, classes: int = 5, **options) -> dict[str, Tensor]:
    """The state dict of a model created with these weights; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return create_model(name, classes, weights=path, **{**TINY, **options}).state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + k: v for k, v in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: OrderedDict(s),
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": s, "args": {"lr": 0.1}},
        lambda s: {"model_state": s, "cfg": "..."},
        lambda s: {"state_dict": prefixed(s, "module.")},
        lambda s: prefixed(s, "_orig_mod."),
        lambda s: prefixed(s, "model._orig_mod."),
    ],
    ids=["bare", "ordered", "state_dict", "model", "model_state", "ddp", "compiled", "nested"],
)
def test_state_dict_files(tmp_path, dense, wrap):
    torch.save(wrap(dense), tmp_path / "w.pt")
    assert same(load(tmp_path / "w.pt"), dense)
    assert same(load(str(tmp_path / "w.pt")), dense)


def test_safetensors(tmp_path, dense):
    save_file(dense, tmp_path / "w.safetensors")
    assert same(load(tmp_path / "w.safetensors"), dense)


def test_lightning_checkpoint(tmp_path, dense):
    state = prefixed(dense, "model.") | {"val_top1.correct": torch.tensor(3)}
    state |= prefixed(dense, "average.model.")
    checkpoint = {
        "pytorch-lightning_version": "2.6.6",
        "state_dict": state,
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(3)}}}],
        "hyper_parameters": {"backbone": NAME, "width": 0.125},
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    assert same(load(tmp_path / "last.ckpt"), dense)


def test_files_of_old_pytorch(tmp_path, dense):
    old = {k: v for k, v in dense.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert same(load(tmp_path / "w.pth"), dense)


def test_half_precision_files_load_into_float32(tmp_path, dense):
    half = {k: v.half() if v.is_floating_point() else v for k, v in dense.items()}
    torch.save(half, tmp_path / "w.pt")
    loaded = load(tmp_path / "w.pt")
    assert loaded["fc.weight"].dtype == torch.float32
    assert torch.equal(loaded["fc.weight"], dense["fc.weight"].half().float())


def test_c3d_public_names(tmp_path):
    ours = create_model("c3d", 5, **TINY).state_dict()
    state = {f"backbone.{k}": v for k, v in ours.items() if not k.startswith("fc8")}
    state = {re.sub(r"(conv[345][ab])", r"\1.conv", k): v for k, v in state.items()}
    state = {re.sub(r"conv([12])\.", r"conv\1a.conv.", k): v for k, v in state.items()}
    assert "backbone.conv1a.conv.weight" in state
    state |= {f"cls_head.fc_cls.{k}": ours[f"fc8.{k}"] for k in ("weight", "bias")}
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "mmaction.pth")
    assert same(load(tmp_path / "mmaction.pth", "c3d"), ours)


def test_head_of_another_class_count_is_skipped_with_one_warning(tmp_path, dense):
    torch.save(dense, tmp_path / "w.pt")
    with pytest.warns(UserWarning) as caught:
        loaded = create_model(NAME, 3, weights=tmp_path / "w.pt", **TINY).state_dict()
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "classifier fc is for 5 classes, not 3" in message
    assert "w.pt" in message
    body = {k: v for k, v in dense.items() if not k.startswith("fc.")}
    assert all(torch.equal(loaded[k], body[k]) for k in body)
    assert loaded["fc.weight"].shape == (3, 64)
    assert loaded["fc.weight"].std() > 0


def test_file_without_head(tmp_path, dense):
    torch.save({k: v for k, v in dense.items() if not k.startswith("fc.")}, tmp_path / "w.pt")
    with pytest.warns(UserWarning, match="no classifier fc in the file") as caught:
        create_model(NAME, 5, weights=tmp_path / "w.pt", **TINY)
    assert len(caught) == 1


def fails(path, name=NAME, classes=5, **options) -> str:
    with pytest.raises(ValueError, match="weights=") as caught:
        load(path, name, classes, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_keys_that_do_not_fit_are_listed_by_name(tmp_path, dense):
    state = dict(dense)
    del state["layer1.0.conv1.0.weight"], state["layer4.1.conv2.1.bias"]
    state |= {
        "layer5.weight": torch.zeros(1),
        "layer2.0.conv1.0.weight": torch.zeros(16, 8, 1, 3, 3),
    }
    torch.save(state, tmp_path / "w.pt")
    message = fails(tmp_path / "w.pt")
    assert message.endswith(
        "does not fit r3d_18: missing (2): layer1.0.conv1.0.weight, layer4.1.conv2.1.bias; "
        "unexpected (1): layer5.weight; mis-shaped (1): layer2.0.conv1.0.weight "
        "(16, 8, 1, 3, 3), not (16, 8, 3, 3, 3)"
    )


def test_long_lists_are_cut(tmp_path, dense):
    torch.save({"fc.weight": dense["fc.weight"], "fc.bias": dense["fc.bias"]}, tmp_path / "w.pt")
    message = fails(tmp_path / "w.pt")
    names = [k for k in dense if not k.startswith("fc.") and "num_batches" not in k]
    assert f"missing ({len(names)}): {', '.join(names[:8])} and {len(names) - 8} more" in message


def test_nothing_is_loaded_when_something_does_not_fit(tmp_path, dense):
    from videowino.models.weights import load_weights

    del dense["layer4.1.conv2.1.bias"]
    torch.save(dense, tmp_path / "w.pt")
    model = create_model(NAME, 5, **TINY)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match="layer4.1.conv2.1.bias"):
        load_weights(model, tmp_path / "w.pt", name=NAME, head="fc")
    assert same(model.state_dict(), before)


def test_checkpoint_of_another_backbone_or_width_says_what_it_is(tmp_path, dense):
    checkpoint = {
        "pytorch-lightning_version": "2.6.6",
        "state_dict": prefixed(dense, "model."),
        "hyper_parameters": {"backbone": NAME, "width": 0.125, "lr": 0.1},
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    message = fails(tmp_path / "last.ckpt", "c3d")
    assert "does not fit c3d (it was saved with backbone='r3d_18', width=0.125)" in message
    assert "missing (20): conv1.weight, conv1.bias" in message
    message = fails(tmp_path / "last.ckpt", width=0.25)
    assert "stem.0.weight (8, 3, 3, 7, 7), not (16, 3, 3, 7, 7)" in message


@pytest.mark.parametrize("parameterization", ["low_rank", "vanilla", "spatial", "factored"])
def test_converted_checkpoint_is_not_dense(tmp_path, parameterization):
    model = create_model(NAME, 5, **TINY)
    videowino.convert(model, parameterization=parameterization, rank=4)
    torch.save({"state_dict": prefixed(model.state_dict(), "model.")}, tmp_path / "w.ckpt")
    message = fails(tmp_path / "w.ckpt")
    assert "converted network (13 Winograd layers, the first: layer1.0.conv1.0)" in message


def broken_files(folder: Path, dense: dict[str, Tensor]) -> dict[str, Path]:
    files = {
        n: folder / n for n in ("text.pt", "empty.pt", "cut.pt", "cut_old.pt", "cut.safetensors")
    }
    files["text.pt"].write_text("epoch,loss\n0,1.2\n")
    files["empty.pt"].touch()
    torch.save(dense, files["cut.pt"])
    torch.save(dense, files["cut_old.pt"], _use_new_zipfile_serialization=False)
    save_file(dense, files["cut.safetensors"])
    for name in ("cut.pt", "cut_old.pt", "cut.safetensors"):
        content = files[name].read_bytes()
        files[name].write_bytes(content[: len(content) // 2])
    return files


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("text.pt", "is no PyTorch checkpoint"),
        ("empty.pt", "is no PyTorch checkpoint, or is cut short"),
        ("cut.pt", "is no PyTorch checkpoint, or is cut short"),
        ("cut_old.pt", "is no PyTorch checkpoint, or is cut short"),
        ("cut.safetensors", "is no readable .safetensors file"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path, dense, name, says):
    assert says in fails(broken_files(tmp_path, dense)[name])


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"state_dict": {}}, torch.zeros(2)])
def test_files_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    assert "holds no state dict" in fails(tmp_path / "w.pt")


def test_files_with_objects_are_not_unpickled(tmp_path, dense):
    torch.save({"state_dict": dense, "config": SimpleNamespace(lr=1)}, tmp_path / "w.pt")
    message = fails(tmp_path / "w.pt")
    assert "(the first: types.SimpleNamespace)" in message
    assert "save its state dict alone" in message


def test_missing_file_and_names_there_are(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=re.escape(f"weights='{tmp_path}/no.pt' is no file")
    ):
        load(tmp_path / "no.pt")
    names = "nor a weights name of torchvision's r3d_18: KINETICS400_V1, DEFAULT"
    with pytest.raises(FileNotFoundError, match=f"'KINETICS' is no file, {names}"):
        load("KINETICS")
    with pytest.raises(FileNotFoundError, match="weights='DEFAULT' is no file$"):
        load("DEFAULT", "c3d")
    with pytest.raises(FileNotFoundError, match="is no file"):
        load(tmp_path)


def test_torchvision_names(monkeypatch):
    torch.manual_seed(7)
    published = torchvision.models.get_model("mc3_18", num_classes=400).state_dict()
    asked = []

    def fetch(url, **options):
        asked.append((url, options["check_hash"]))
        return published

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    for name in ("KINETICS400_V1", "DEFAULT"):
        assert same(load(name, "mc3_18", 400, width=1.0), published)
    url = "https://download.pytorch.org/models/mc3_18-a90a0ba3.pth"
    assert asked == [(url, True)] * 2
    with pytest.warns(UserWarning, match="classifier fc is for 400 classes, not 5"):
        create_model("mc3_18", 5, weights="DEFAULT")
    with pytest.raises(ValueError, match=r"does not fit mc3_18: mis-shaped \(\d+\): stem.0.weight"):
        load("DEFAULT", "mc3_18", 400, width=0.5)


def test_failing_download(monkeypatch):
    def fetch(url, **options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    message = (
        r"weights='DEFAULT' could not be downloaded \(no route to host\); fetch https://.*pth "
    )
    with pytest.raises(ValueError, match=message):
        load("DEFAULT", width=1.0)


def test_i3d_head(tmp_path):
    ours = create_model("i3d", 400, **TINY).state_dict()
    torch.save(ours, tmp_path / "rgb_imagenet.pt", _use_new_zipfile_serialization=False)
    assert same(load(tmp_path / "rgb_imagenet.pt", "i3d", 400), ours)
    message = "classifier logits.conv3d is for 400 classes, not 7"
    with pytest.warns(UserWarning, match=re.escape(message)):
        model = create_model("i3d", 7, weights=tmp_path / "rgb_imagenet.pt", **TINY)
    assert isinstance(model, nn.Module)


class Code:
    """What runs a function of another module where it is unpickled."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize(
    ("function", "named"), [(os.mkdir, r"posix\.mkdir"), (shutil.copytree, r"shutil\.copytree")]
)
def test_code_is_named_and_not_run(function, named, dense, tmp_path):
    args = (str(tmp_path / "ran"),) if function is os.mkdir else (tmp_path, tmp_path / "ran")
    torch.save({"state_dict": dense, "more": Code(function, *args)}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=rf"objects besides tensors \(the first: {named}\)"):
        load(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()
