import copy

import pytest
import torch
from torch import nn

import videowino
from videowino.winograd import WinogradConv3d, winograd_layers

KINDS = [("spatial", 8), ("vanilla", 8), ("low_rank", 8), ("factored", 27)]


class Net(nn.Module):
    """Two eligible layers of which one is used twice, and three that are not eligible."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(3, 4, 3, stride=(1, 2, 2), padding=1)
        self.shared = nn.Conv3d(4, 4, 3, padding=1)
        self.again = self.shared
        self.body = nn.Sequential(nn.Conv3d(4, 6, (1, 3, 3)), nn.ReLU(), nn.Conv3d(6, 2, 1))
        self.deep = nn.Conv3d(2, 2, 3, padding=2, dilation=2)

    def forward(self, x):
        x = self.stem(x).relu()
        x = self.again(self.shared(x).relu())
        return self.deep(self.body(x))


@pytest.fixture
def net():
    return Net().double().eval()


@pytest.fixture
def clip():
    return torch.randn(2, 3, 4, 12, 12, dtype=torch.float64)


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_convert_changes_no_output_and_restore_leads_back(net, clip, kind, rank):
    expected, keys = net(clip), net.state_dict().keys()
    videowino.convert(net, parameterization=kind, rank=rank)
    assert sorted(winograd_layers(net)) == ["body.0", "shared"]
    torch.testing.assert_close(net(clip), expected)
    report = videowino.restore(net)
    assert not report.swapped
    assert net.state_dict().keys() == keys
    torch.testing.assert_close(net(clip), expected)


def test_shared_layer_is_swapped_once_and_stays_shared(net):
    videowino.convert(net)
    assert isinstance(net.shared, WinogradConv3d)
    assert net.again is net.shared


def test_report_says_why_layers_stay(net, clip):
    report = videowino.convert(net, example=clip)
    notes = {layer.name: layer.note for layer in report.kept}
    assert notes == {
        "stem": "stride 1x2x2",
        "body.2": "kernel 1x1x1, nothing to save",
        "deep": "dilation 2x2x2",
    }
    text = str(report)
    assert "stride 1x2x2" in text and "F(2x4x4, 3x3x3)" in text and "low_rank 8" in text
    assert "2 of 5 convolutions are Winograd convolutions, with" in text


def test_training_mode_device_type_and_requires_grad_are_kept(net):
    net.train()
    net.shared.requires_grad_(False)
    videowino.convert(net, parameterization="vanilla")
    assert net.shared.training and net.shared.weight.dtype == torch.float64
    assert not net.shared.weight.requires_grad and net.body[0].weight.requires_grad


def test_rank_is_capped_where_the_kernel_has_fewer_taps(net):
    videowino.convert(net, parameterization="factored", rank=20)
    assert net.shared.rank == 20
    assert net.body[0].rank == 9


def test_include_and_exclude(net):
    report = videowino.convert(net, include=["body.*", "deep"], exclude="deep")
    assert [layer.name for layer in report.swapped] == ["body.0"]
    notes = {layer.name: layer.note for layer in report.kept}
    assert notes["shared"] == "not included" and notes["deep"] == "excluded"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"rank": 0}, "rank=0 is out of range"),
        ({"tile": (2, 4)}, r"tile=\(2, 4\) must be one whole number or three"),
        ({"tile": 9}, "tile=9 is out of range; each axis takes 1 to 6"),
        ({"parameterization": "lora"}, "parameterization='lora' is unknown"),
        ({"include": "layer9.*"}, "pattern 'layer9.*' matches no Conv3d; there are stem, shared"),
    ],
)
def test_misuse_changes_nothing(net, arguments, match):
    with pytest.raises(ValueError, match=match.replace("*", r"\*") if "layer9" in match else match):
        videowino.convert(net, **arguments)
    assert not winograd_layers(net)


def test_a_lone_convolution_cannot_be_replaced_in_place():
    with pytest.raises(TypeError, match="use WinogradConv3d.from_conv"):
        videowino.convert(nn.Conv3d(2, 2, 3))


@pytest.mark.parametrize(("kind", "rank"), KINDS)
@pytest.mark.parametrize("score", ["held", "magnitude", "reconstruction"])
def test_prune_sets_masks_for_any_parameterization(net, clip, kind, rank, score):
    videowino.convert(net, parameterization=kind, rank=rank)
    report = videowino.prune(net, 0.5, score=score)
    assert net.shared.columns_kept == 72
    assert net.body[0].columns_kept == 18
    assert "Pruned 50.0%" in str(report)
    assert net(clip).isfinite().all()


def test_prune_takes_the_scores_that_layers_hold(net, clip):
    videowino.convert(net)
    net(clip).square().sum().backward()
    for layer in winograd_layers(net).values():
        layer.accumulate_scores("taylor")
    best = net.shared.scores().topk(72).indices
    videowino.prune(net, 0.5)
    assert net.shared.column_mask[best].all()


def test_pruned_layers_cannot_be_restored(net, clip):
    videowino.convert(net)
    videowino.prune(net, 0.5)
    expected = net(clip)
    report = videowino.restore(net)
    assert [layer.name for layer in report.swapped] == ["shared", "body.0"]
    assert "no filter computes this: the nearest is" in report.swapped[0].note
    torch.testing.assert_close(net(clip), expected)


def test_prune_misuse(net, clip):
    with pytest.raises(ValueError, match=r"call videowino.convert\(model\) first"):
        videowino.prune(net, 0.5)
    videowino.convert(net)
    with pytest.raises(ValueError, match="sparsity=1.5 is out of range"):
        videowino.prune(net, 1.5)
    with pytest.raises(ValueError, match="score='random' is unknown"):
        videowino.prune(net, 0.5, score="random")
    net(clip).sum().backward()
    net.shared.accumulate_scores("taylor")
    with pytest.raises(ValueError, match="compares held scores with magnitudes"):
        videowino.prune(net, 0.5, budget="global")


def test_deepcopy_of_a_pruned_model_is_independent(net):
    videowino.convert(net)
    twin = copy.deepcopy(net)
    videowino.prune(net, 0.5)
    assert twin.shared.columns_kept == 144
