"""Max pooling drawn into the convolution before it, where that is what the network computes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import videowino
from tests.deployment.networks import CLIP, trained
from tests.deployment.test_archive import rewritten
from tests.deployment.test_deploy import fused
from tests.deployment.test_tune import Told
from videowino.deployment.convolution import FusedConv3d
from videowino.kernels import native
from videowino.winograd import winograd_layers
from videowino.winograd.finish import MaxPool

built = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
CLIPS = [CLIP, CLIP[:1], CLIP[..., :3, :17, :15], torch.randn(1, 3, 8, 12, 23)]


class Pooled(nn.Module):
    """Poolings of all kinds that a convolution can take in, one module of them called twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv3d(3, 16, 3, padding=1), nn.Conv3d(16, 20, 3, padding=1)
        self.c, self.d = nn.Conv3d(20, 16, (1, 3, 3), padding=(0, 1, 1)), nn.Conv3d(16, 5, 1)
        self.norm = nn.BatchNorm3d(20)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool3d((1, 2, 2), ceil_mode=True)

    def forward(self, x):
        x = self.pool(self.relu(self.a(x)))
        x = F.relu(F.max_pool3d(self.norm(self.b(x)), 2, [2, 2, 2]))
        x = self.pool(self.c(x))
        return torch.max_pool3d(self.d(x), kernel_size=(1, 2, 2), ceil_mode=True)


def test_all_of_it_is_drawn_in():
    model = trained(Pooled())
    deployed = videowino.deploy(model, CLIP, budget=0)
    ceil = MaxPool((1, 2, 2), True)
    assert [m.pool for m in fused(deployed)] == [ceil, MaxPool((2, 2, 2)), ceil, ceil]
    assert [m.relu for m in fused(deployed)] == [True, True, False, False]
    assert not any(isinstance(m, nn.MaxPool3d) for m in deployed.modules())
    assert deployed.check(model, CLIPS) < 1e-4
    layers = deployed.report(repeats=1).layers
    assert all(layer.algorithm.endswith((" + pool", " then pool")) for layer in layers)


class Apart(nn.Module):
    """Poolings that must stay where they are."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv3d(3, 3, 3, padding=1) for _ in range(9))
        self.pools = nn.ModuleList(
            [
                nn.MaxPool3d(3, stride=2, padding=1),
                nn.MaxPool3d((1, 2, 2), padding=(0, 1, 1), ceil_mode=True),
                nn.MaxPool3d(2, stride=1),
                nn.MaxPool3d((1, 2, 2), dilation=(1, 2, 2)),
                nn.MaxPool3d(1),
                nn.AvgPool3d((1, 2, 2)),
            ]
        )
        self.norm = nn.BatchNorm3d(3)

    def forward(self, x):
        found = [pool(conv(x)) for pool, conv in zip(self.pools, self.convs)]
        y = self.convs[6](x)
        found += [F.max_pool3d(y, 2), y]  # somebody else looks at it
        found.append(F.max_pool3d(F.relu(self.convs[7](x) + x), 2))  # a residual
        found.append(self.norm(F.max_pool3d(self.convs[8](x), (1, 2, 2))))
        values, _ = F.max_pool3d(found[4], 2, return_indices=True)
        return [*found, values]


def test_what_stays_apart():
    model = trained(Apart())
    deployed = videowino.deploy(model, CLIP, budget=0)
    assert [m.pool is not None for m in fused(deployed)] == 8 * [False] + [True]
    with torch.no_grad():
        for found, expected in zip(deployed(CLIP), model(CLIP), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@built
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("wanted", "suffix"), [("direct", " then"), ("F(4x4x4", " +"), ("F(2x5x5", " then")]
)
def test_each_algorithm_computes_the_same(wanted, suffix, relu, ceil, monkeypatch):
    torch.manual_seed(0)
    conv, x = nn.Conv3d(5, 17, 3, padding=1), torch.randn(2, 5, 6, 9, 11)
    pool = MaxPool((1, 2, 2), ceil)
    layer = FusedConv3d(copy.deepcopy(conv), relu, Told(wanted, monkeypatch), pool=pool)
    with torch.no_grad():
        expected = pool(conv(x).relu() if relu else conv(x))
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    assert layer.algorithm.startswith(wanted) and layer.algorithm.endswith(f"{suffix} pool")


@built
def test_times_belong_to_one_pooling(monkeypatch):
    tuner, x = Told("F(2x2x2", monkeypatch), torch.randn(1, 4, 4, 6, 6)
    for count, pool in enumerate([None, MaxPool((1, 2, 2)), MaxPool((2, 2, 2)), None]):
        before = len(tuner.measured)
        FusedConv3d(nn.Conv3d(4, 4, 3, padding=1), True, tuner, pool=pool)(x)
        assert (len(tuner.measured) > before) == (count < 3)


def pruned(tile):
    model = trained(Pooled())
    videowino.convert(model, parameterization="low_rank", tile=tile)
    videowino.prune(model, 0.5)
    return model.eval()


@pytest.mark.parametrize(
    ("tile", "ends"), [((2, 4, 4), " + pool"), ((1, 4, 4), None), ((3, 3, 3), " then pool")]
)
@pytest.mark.parametrize("kernels", [True, False])
def test_pruned_layers(kernels, tile, ends, monkeypatch, tmp_path):
    if kernels and native.library() is None:
        pytest.skip("the kernels were not built")
    if not kernels:
        monkeypatch.setattr(native, "library", lambda: None)
    model = pruned(tile)
    assert len(winograd_layers(model)) == 3
    deployed = videowino.deploy(model, CLIP, budget=0)
    assert deployed.check(model, [*CLIPS, CLIP]) < 1e-4
    found = [m.algorithm for m in fused(deployed)][:3]
    if not kernels:
        ends = " then pool"
    if ends is None:  # windows of two frames reach over tiles of one
        assert [name.endswith("+ pool") for name in found] == [True, False, True]
    else:
        assert all(name.endswith(ends) for name in found)
    deployed.save(tmp_path / "model.vwino")
    loaded = videowino.load(tmp_path / "model.vwino", budget=0)
    assert loaded.check(model, CLIPS) < 1e-4
    assert [m.algorithm for m in fused(loaded)][:3] == found


def test_copies_and_files(tmp_path):
    model = trained(Pooled())
    deployed = videowino.deploy(model, CLIP, budget=0)
    assert copy.deepcopy(deployed).check(model, CLIPS) < 1e-4
    path = tmp_path / "model.vwino"
    deployed.save(path)
    loaded = videowino.load(path, budget=0)
    assert [m.pool for m in fused(loaded)] == [m.pool for m in fused(deployed)]
    assert loaded.check(model, CLIPS) < 1e-4


def test_a_file_with_another_pooling_is_refused(tmp_path):
    path = tmp_path / "model.vwino"
    videowino.deploy(trained(Pooled()), CLIP, budget=0).save(path)

    def change(content):
        first = next(iter(content["graph"]["modules"].values()))
        first["pool"]["window"] = [1, 3, 3]

    rewritten(path, change)
    with pytest.raises(ValueError, match="no pooling by 2"):
        videowino.load(path, budget=0)


class Wayward(nn.Module):
    """Control flow that looks at values."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv3d(3, 8, 3, padding=1), nn.MaxPool3d((1, 2, 2))

    def forward(self, x):
        y = self.pool(self.conv(x))
        return y if y.mean() > 0 else -y


def test_nothing_is_drawn_in_without_a_graph():
    model = trained(Wayward())
    with pytest.warns(UserWarning, match="has no graph"):
        deployed = videowino.deploy(model, CLIP, budget=0)
    assert [m.pool for m in fused(deployed)] == [None]
    assert deployed.check(model, [CLIP, -CLIP]) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types(dtype):
    model, clip = trained(Pooled()).to(dtype), CLIP.to(dtype)
    deployed = videowino.deploy(model, clip, budget=0)
    tolerance = 1e-6 if dtype == torch.float64 else 0.1
    with torch.no_grad():
        torch.testing.assert_close(deployed(clip), model(clip), rtol=tolerance, atol=tolerance)
