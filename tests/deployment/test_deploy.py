"""A deployed network computes what the one it was made from computes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import videowino
from tests.deployment.networks import CLIP, Network, trained
from videowino.deployment.convolution import FusedConv3d
from videowino.winograd import WinogradConv3d


def fused(deployed):
    return [m for m in deployed.modules() if isinstance(m, FusedConv3d)]


def test_everything_is_drawn_into_the_convolutions():
    model = trained(Network())
    deployed = videowino.deploy(model, CLIP, budget=0)
    with torch.no_grad():
        torch.testing.assert_close(deployed(CLIP), model(CLIP), rtol=1e-4, atol=1e-4)
    kinds = {type(m) for m in deployed.modules()}
    assert nn.BatchNorm3d not in kinds and nn.ReLU not in kinds
    assert deployed.traced and len(fused(deployed)) == 6
    assert [m.relu for m in fused(deployed)].count(False) == 1  # the shortcut's
    assert deployed.check(model) < 1e-4


@pytest.mark.parametrize("parameterization", ["spatial", "vanilla", "low_rank", "factored"])
@pytest.mark.parametrize("sparsity", [0, 0.5])
def test_every_parameterization(parameterization, sparsity):
    model = trained(Network())
    rank = 27 if parameterization == "factored" else 4
    videowino.convert(model, parameterization=parameterization, rank=rank, tile=2)
    videowino.prune(model, sparsity=sparsity) if sparsity else None
    model.eval()
    before = copy.deepcopy(model.state_dict())
    deployed = videowino.deploy(model, CLIP, budget=0)
    assert deployed.check(model, [CLIP, CLIP[:1, :, :, :17, :13]]) < 1e-4
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    kept = [m.columns for m in fused(deployed) if isinstance(m.conv, WinogradConv3d)]
    assert not sparsity or kept.count("32/64") == 3


class Awkward(nn.Module):
    """Where what follows a convolution is not its alone, or not of its shape."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(4, 4, 3, padding=1)
        self.shared = nn.Conv3d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm3d(4)
        self.bare = nn.BatchNorm3d(4, track_running_stats=False)
        self.offset = nn.Parameter(torch.randn(4, 1, 1, 1))

    def forward(self, x):
        a = self.a(x)
        y = self.b(F.relu(a)) + a  # a is looked at twice
        y = self.shared(y) + self.offset
        y = self.shared(self.norm(y)) + 1
        y = torch.add(self.bare(self.b2(y)), y, alpha=2) if hasattr(self, "b2") else y
        return y + y.mean((2, 3, 4), keepdim=True)


def test_what_is_not_a_convolution_s_alone_stays():
    model = trained(Awkward())
    model.b2 = nn.Conv3d(4, 4, 1)
    assert videowino.deploy(model, CLIP, budget=0).check(model, [CLIP]) < 1e-4


class Wayward(nn.Module):
    """Control flow that looks at values."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8)

    def forward(self, x):
        y = self.norm(self.conv(x))
        return y if y.mean() > 0 else -y


def test_a_network_without_a_graph_is_deployed_one_by_one():
    model = trained(Wayward())
    with pytest.warns(UserWarning, match="Wayward has no graph"):
        deployed = videowino.deploy(model, CLIP, budget=0)
    assert not deployed.traced and len(fused(deployed)) == 1
    assert deployed.check(model, [CLIP, -CLIP]) < 1e-4


class Pad(nn.Module):
    """As `same` pooling does: it counts with sizes in Python."""

    def forward(self, x):
        d, h, w = (-size % 4 for size in x.shape[2:])
        return F.pad(x, (0, w, 0, h, 0, d))


def test_modules_without_convolutions_need_no_graph():
    model = trained(nn.Sequential(Pad(), Network()))
    deployed = videowino.deploy(model, CLIP, budget=0)
    assert deployed.traced and nn.BatchNorm3d not in {type(m) for m in deployed.modules()}
    assert deployed.check(model, [CLIP, CLIP[..., :18]]) < 1e-4


def test_the_report_names_every_convolution():
    model = trained(Network())
    videowino.convert(model, tile=2)
    videowino.prune(model, sparsity=0.5)
    report = videowino.deploy(model, CLIP, budget=0).report(repeats=2)
    names = [layer.name for layer in report.layers]
    assert names[0] == "stem.0" and "blocks.1.short.0" in names and names[-1] == "head"
    assert len(names) == 7
    assert {layer.columns for layer in report.layers} == {"", "32/64"}
    assert sum(layer.ms for layer in report.layers) + report.rest_ms == pytest.approx(report.ms)
    assert "F(2x2x2, 3x3x3)" in str(report) and "the rest" in str(report)


def test_misuse():
    with pytest.raises(ValueError, match="expected N C D H W"):
        videowino.deploy(trained(Network()), CLIP[0])
    with pytest.raises(ValueError, match="cannot be trained"):
        videowino.deploy(trained(Network()), CLIP, budget=0).train()


class Tied(nn.Module):
    """Two convolutions with one weight, before two batch norms."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(3, 4, 3, padding=1)
        self.b.weight = self.a.weight
        self.norm_a, self.norm_b = nn.BatchNorm3d(4), nn.BatchNorm3d(4)

    def forward(self, x):
        return self.norm_a(self.a(x)) - self.norm_b(self.b(x))


class InPlace(nn.Module):
    """Additions that change what others look at."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv3d(3, 3, 3, padding=1), nn.Conv3d(3, 3, 3, padding=1)

    def forward(self, x):
        x = x * 2
        x += self.a(x)
        y = self.b(x)
        y += x
        return torch.relu_(y), x


class Hooked(nn.Module):
    """Convolutions that others reach into."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(4, 4, 3, padding=1)
        self.a.register_forward_hook(lambda module, args, y: y * 2)
        torch.nn.utils.parametrizations.weight_norm(self.b)
        self.norm = nn.BatchNorm3d(4)

    def forward(self, x):
        return F.relu(self.norm(self.b(self.a(x))))


class Unusual(nn.Module):
    """Padding of other kinds, groups, dilation, strides, one dimension at a time."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv3d(3, 4, 3, padding="same"),
                nn.Conv3d(4, 4, 3, padding=1, padding_mode="circular"),
                nn.Conv3d(4, 4, 3, padding=1, groups=2),
                nn.Conv3d(4, 4, 3, padding=2, dilation=2),
                nn.Conv3d(4, 6, (1, 3, 3), padding=(0, 1, 1), stride=(1, 2, 2)),
                nn.Conv3d(6, 6, (3, 1, 1), padding=(1, 0, 0)),
            ]
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm3d(conv.out_channels, affine=index % 2 == 0, momentum=None)
            for index, conv in enumerate(self.convs)
        )

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = F.relu(norm(conv(x)), inplace=True)
        return x


@pytest.mark.parametrize("network", [Tied, InPlace, Hooked, Unusual])
def test_what_could_go_wrong(network):
    model = trained(network())
    deployed = videowino.deploy(model, CLIP, budget=0)
    assert deployed.traced
    with torch.no_grad():
        torch.testing.assert_close(deployed(CLIP), model(CLIP), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types(dtype):
    model, clip = trained(Network()).to(dtype), CLIP.to(dtype)
    deployed = videowino.deploy(model, clip, budget=0)
    with torch.no_grad():
        y, expected = deployed(clip), model(clip)
    tolerance = 1e-6 if dtype == torch.float64 else 0.1
    assert y.dtype == dtype
    torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)


def test_the_model_stays_as_it_was():
    model = trained(Network())
    model.train()
    state = copy.deepcopy(model.state_dict())
    deployed = videowino.deploy(model, CLIP, budget=0)
    assert deployed.check(model, [CLIP]) < 1e-4
    assert model.training and all(m.training for m in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_made_in_inference_mode_it_is_as_good():
    with torch.inference_mode():
        model = trained(Network())
        videowino.convert(model, tile=2)
        deployed = videowino.deploy(model.eval(), CLIP, budget=0)
    assert not any(tensor.is_inference() for tensor in deployed.state_dict().values())
    assert deployed.check(model, [CLIP]) < 1e-4


class Trap(nn.Module):
    """Tracing takes another way than clips do, and meets no error on it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        return y if type(x) is torch.Tensor else -y


def test_a_graph_that_computes_something_else_is_not_used():
    with pytest.warns(UserWarning, match="Trap has no graph"):
        deployed = videowino.deploy(Trap(), CLIP, budget=0)
    assert not deployed.traced and deployed.check(Trap().eval()) >= 0
    model = Trap()
    with pytest.warns(UserWarning):
        assert videowino.deploy(model, CLIP, budget=0).check(model, [CLIP]) < 1e-4


class UNet(nn.Module):
    """Skip connections, transposed convolutions, concatenation, a layer norm's likes."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv3d(i, o, 3, stride=2, padding=1), nn.InstanceNorm3d(o), nn.PReLU())
            for i, o in ((3, 8), (8, 16))
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(i, o, 2, stride=2) for i, o in ((16, 8), (16, 3))
        )
        self.out = nn.Conv3d(6, 2, 3, padding=1)

    def forward(self, x):
        skips = []
        y = x
        for down in self.down:
            skips.append(y)
            y = down(y)
        for up, skip in zip(self.up, reversed(skips)):
            y = torch.cat([skip, up(y)], dim=1)
        return self.out(y).view(y.size(0), 2, -1)


def test_a_u_net():
    model = UNet()
    deployed = videowino.deploy(model, CLIP, budget=0)
    assert deployed.traced and len(fused(deployed)) == 3
    assert deployed.check(model, [CLIP, torch.randn(1, 3, 8, 12, 16)]) < 1e-4


@pytest.mark.slow
def test_monai_s_u_net():
    nets = pytest.importorskip("monai.networks.nets", reason="MONAI is not installed")
    model = trained(nets.UNet(3, 1, 2, (8, 16, 32), (2, 2), num_res_units=2))
    clip = torch.randn(1, 1, 16, 32, 32)
    deployed = videowino.deploy(model, clip, budget=0)
    assert deployed.traced and deployed.check(model, [clip]) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", videowino.list_models())
@pytest.mark.filterwarnings("ignore:SlowFast has no graph")
def test_every_model_of_the_list(name, tmp_path):
    clip = torch.randn(1, 3, 16, 112, 112)
    model = trained(videowino.create_model(name, 10))
    deployed = videowino.deploy(model, clip, budget=0)
    assert deployed.check(model, [clip]) < 1e-4
    if deployed.traced:
        deployed.save(tmp_path / "model.vwino")
        assert videowino.load(tmp_path / "model.vwino", budget=0).check(model, [clip]) < 1e-4
