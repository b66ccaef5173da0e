import copy

import pytest
import torch
from torch import nn

import videowino
from videowino.surgery import ranks
from videowino.winograd import WinogradConv3d, winograd_layers
from videowino.winograd.parameterization import factored_start, spectral_rank
from videowino.winograd.tile import fit_tile

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


def test_report_says_why_layers_stay(net, clip, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
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


@pytest.mark.parametrize(("kind", "rank"), [("spatial", 8), ("vanilla", 8), ("low_rank", 4)])
def test_layers_with_strides_when_asked(net, clip, kind, rank):
    expected, weight = net(clip), net.stem.weight.detach().clone()
    done = videowino.convert(
        net, parameterization=kind, rank=rank, tile=2, strided=True, example=clip
    )
    assert isinstance(net.stem, WinogradConv3d) and net.stem.stride == (1, 2, 2)
    assert done.layers[0].tile == "F(2x2x2, 3x3x3 / 1x2x2)"
    torch.testing.assert_close(net(clip), expected, rtol=1e-4, atol=1e-5)
    videowino.restore(net)
    assert type(net.stem) is nn.Conv3d and net.stem.stride == (1, 2, 2)
    torch.testing.assert_close(net.stem.weight, weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net(clip), expected, rtol=1e-4, atol=1e-5)


def test_training_mode_device_type_and_requires_grad_are_kept(net):
    net.train()
    net.shared.requires_grad_(False)
    videowino.convert(net, parameterization="vanilla")
    assert net.shared.training and net.shared.weight.dtype == torch.float64
    assert not net.shared.weight.requires_grad and net.body[0].weight.requires_grad


def test_ranks_by_energy():
    """Filters of two and of five patterns, and of all: one layer each."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Conv3d(8, 8, 3) for _ in range(3)))
    for conv, patterns in zip(model, (2, 5)):
        mixed = torch.randn(64, patterns) @ torch.randn(patterns, 27)
        conv.weight.data = mixed.reshape(8, 8, 3, 3, 3)
    report = videowino.convert(model, parameterization="factored", rank=0.9999)
    assert ranks(model) == {"0": 2, "1": 5, "2": 27}
    assert [layer.parameterization for layer in report.layers] == [
        f"factored {rank}" for rank in (2, 5, 27)
    ]
    again = nn.Sequential(*(nn.Conv3d(8, 8, 3) for _ in range(3)))
    videowino.convert(again, rank=ranks(model))
    assert ranks(again) == ranks(model)


def test_the_rank_of_a_share_of_energy_holds_it_and_the_next_less_does_not():
    conv, tile = nn.Conv3d(8, 8, 3), fit_tile((2, 4, 4), (3, 3, 3))
    for share in (0.3, 0.6, 0.9, 1.0):
        rank = spectral_rank(conv.weight, tile, share)
        held = [1 - factored_start(conv.weight, tile, r).error ** 2 for r in (rank, rank - 1) if r]
        assert held[0] >= share - 1e-6
        assert len(held) == 1 or held[1] < share


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        (0.0, r"rank=0\.0: a whole number, or a share of the energy, above 0 and up to 1"),
        (1.5, r"rank=1\.5: a whole number, or a share"),
        ({"0": 4}, "rank: names none for the layer '1'"),
        ({"0": 4, "1": 0}, "rank=0 is out of range"),
    ],
)
def test_a_rank_that_is_none(rank, message):
    model = nn.Sequential(nn.Conv3d(4, 4, 3), nn.Conv3d(4, 4, 3))
    with pytest.raises(ValueError, match=message):
        videowino.convert(model, rank=rank)
    assert type(model[0]) is nn.Conv3d


def test_without_factors_the_rank_is_nothing_to_check(net, clip):
    for kind in ("vanilla", "spatial"):
        converted = videowino.convert(copy.deepcopy(net), parameterization=kind, rank=None)
        assert {layer.parameterization for layer in converted.swapped} == {kind}
    with pytest.raises(ValueError, match="rank=None is out of range for low_rank"):
        videowino.convert(net, parameterization="low_rank", rank=None)


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
        ({"tile": 2.5}, "tile=2.5 must be one whole number"),
        ({"rank": True}, "rank=True is out of range"),
        ({"rank": 145}, "rank=145 is out of range for low_rank .* choose 1 to 144"),
        ({"points": "0,1"}, "layer 'shared': F.2, 3. needs 3 different finite points, got 0, 1; "),
        ({"tile": 9}, "tile=9 is out of range; each axis takes 1 to 6"),
        ({"parameterization": "lora"}, "parameterization='lora' is unknown"),
        (
            {"include": "layer9.*"},
            "include='layer9.*' matches no 3D convolution; there are stem, shared",
        ),
    ],
)
def test_misuse_changes_nothing(net, arguments, match):
    with pytest.raises(ValueError, match=match.replace("*", r"\*") if "layer9" in match else match):
        videowino.convert(net, **arguments)
    assert not winograd_layers(net)


def test_a_lone_convolution_cannot_be_replaced_in_place():
    with pytest.raises(TypeError, match="model is a Conv3d itself.* use WinogradConv3d.from_conv"):
        videowino.convert(nn.Conv3d(2, 2, 3))
    with pytest.raises(TypeError, match="model is a WinogradConv3d itself.*wrap it in a module"):
        videowino.restore(WinogradConv3d(2, 2, 3))


def test_a_pattern_for_a_model_without_convolutions():
    with pytest.raises(ValueError, match="include='a' matches no 3D conv.*; the model has none"):
        videowino.convert(nn.Linear(1, 1), include="a")


def test_converting_again_changes_nothing_and_says_so(net):
    videowino.convert(net, include="shared", parameterization="vanilla")
    report = videowino.convert(net)
    notes = {layer.name: layer.note for layer in report.swapped}
    assert notes == {"shared": "a Winograd layer already, left as it is", "body.0": ""}
    with pytest.warns(
        UserWarning, match="changed nothing: shared, body.0 are Winograd layers alre"
    ):
        videowino.convert(net, parameterization="spatial")
    assert net.shared.parameterization == "vanilla"


def test_points_for_each_kernel_by_include(clip):
    net = nn.Sequential(nn.Conv3d(3, 2, 5, padding=2), nn.Conv3d(2, 2, 3)).double()
    expected = net(clip)
    tile = (1, 4, 4)
    with pytest.raises(ValueError, match="layer '0': .* needs 7 .* apart, with include="):
        videowino.convert(net, tile=tile, points="0,1,-1,2,-2")
    videowino.convert(net, tile=tile, points="0,1,-1,2,-2,1/2,-1/2", include="0")
    videowino.convert(net, tile=tile, points="0,1,-1,2,-2", exclude="0")
    assert [layer.tile.points.count(",") for layer in net] == [6, 4]
    torch.testing.assert_close(net(clip), expected)


def test_lazy_convolutions_are_named_or_get_their_weight_from_the_example(clip):
    net = nn.Sequential(nn.LazyConv3d(4, 3), nn.ReLU()).double()
    with pytest.raises(ValueError, match="layer '0' is a LazyConv3d without a weight; run a clip"):
        videowino.convert(net)
    videowino.convert(net, example=clip)
    assert net[0].in_channels == 3 and isinstance(net[0], WinogradConv3d)


@pytest.mark.parametrize("kind", ["spatial", "vanilla", "low_rank", "factored"])
def test_tied_weights_stay_tied(clip, kind):
    net = nn.Sequential(nn.Conv3d(3, 3, 3, padding=1), nn.Conv3d(3, 3, 3, padding=1)).double()
    net[1].weight = net[0].weight
    expected = net(clip)
    notes = [layer.note for layer in videowino.convert(net, parameterization=kind).layers]
    assert net[1].weight is net[0].weight
    assert len(winograd_layers(net)) == (2 if kind == "spatial" else 0)
    assert notes[0] == notes[1]
    assert ("another layer's too" in notes[0]) == (kind != "spatial")
    videowino.restore(net)
    assert net[1].weight is net[0].weight
    torch.testing.assert_close(net(clip), expected)


def test_rounding_beyond_equal_is_said():
    net = nn.Sequential(nn.Conv3d(2, 2, 7), nn.Conv3d(2, 2, 3))
    with pytest.warns(UserWarning, match="rounding exceeds 1e-05 in 1 of 2 .* about 1e-04 in 0: "):
        report = videowino.convert(net)
    assert [layer.note for layer in report.layers] == ["float32 rounding of about 1e-04", ""]


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_a_frozen_network_stays_frozen_there_and_back(net, kind, rank):
    net.requires_grad_(False)
    videowino.convert(net, parameterization=kind, rank=rank)
    assert not any(p.requires_grad for p in net.parameters())
    videowino.restore(net)
    assert not any(p.requires_grad for p in net.parameters())
    assert not winograd_layers(net)


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_memory_layout_is_kept_there_and_back(net, kind, rank):
    net.to(memory_format=torch.channels_last_3d)
    strides = net.shared.weight.stride()
    videowino.convert(net, parameterization=kind, rank=rank)
    state = torch.get_rng_state()
    videowino.restore(net)
    assert net.shared.weight.stride() == strides
    assert torch.equal(torch.get_rng_state(), state)


def test_restore_leaves_asymmetric_padding(clip):
    even, odd = (
        WinogradConv3d(3, 2, 3, padding=p) for p in ((1, 1, 0, 0, 2, 2), (0, 1, 1, 1, 1, 1))
    )
    net = nn.Sequential(even, nn.Identity(), odd).double()
    net[1], net[2] = net[2], net[1]
    expected = even(clip), odd(clip)
    notes = [layer.note for layer in videowino.restore(net).layers]
    assert notes == ["", "asymmetric padding (0, 1, 1, 1, 1, 1), which no Conv3d has"]
    assert net[0].padding == (1, 0, 2) and net[1] is odd
    torch.testing.assert_close((net[0](clip), net[1](clip)), expected)


def test_an_example_that_fails_changes_nothing(net, clip):
    bad = clip[:, :2]
    with pytest.raises(RuntimeError):
        videowino.convert(net, example=bad)
    assert not winograd_layers(net)
    videowino.convert(net, parameterization="spatial")
    with pytest.raises(RuntimeError):
        videowino.restore(net, example=bad)
    with pytest.raises(RuntimeError):
        videowino.prune(net, 0.5, example=bad)
    assert net.shared.columns_kept == 144


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


@pytest.mark.parametrize(("kind", "rank"), KINDS)
@pytest.mark.parametrize("compensate", [True, False])
def test_pruning_anew_is_pruning_once_where_nothing_was_given_away(net, kind, rank, compensate):
    twin = copy.deepcopy(net)
    for one in (net, twin):
        videowino.convert(one, parameterization=kind, rank=rank)
    gives = kind in ("vanilla", "factored")
    videowino.prune(net, 0.75, compensate=compensate and not gives)
    videowino.prune(net, 0.5, compensate=compensate)
    videowino.prune(twin, 0.5, compensate=compensate)
    for a, b in zip(winograd_layers(net).values(), winograd_layers(twin).values(), strict=True):
        torch.testing.assert_close(a.winograd_weight(), b.winograd_weight())


@pytest.mark.parametrize(("kind", "rank"), [("vanilla", 8), ("factored", 27), ("low_rank", 4)])
def test_pruning_less_than_before_warns_and_pruning_further_does_not(net, kind, rank, recwarn):
    videowino.convert(net, parameterization=kind, rank=rank)
    for layer in winograd_layers(net).values():
        if kind == "low_rank":
            nn.init.normal_(layer.left)
    before = None
    for sparsity in (0.25, 0.5, 0.75):
        videowino.prune(net, sparsity)
        mask = net.shared.column_mask.clone()
        assert before is None or not (mask & ~before).any()
        before = mask
    assert not recwarn.list
    with pytest.warns(UserWarning, match="sparsity=0.5 is less than 2 layers have now, shared for"):
        videowino.prune(net, 0.5)
    assert net.shared.columns_kept == 72 and net.shared.column_mask[before].all()


def test_a_global_budget_that_ends_early_says_what_it_reached(net):
    videowino.convert(net)
    with pytest.warns(UserWarning, match="sparsity=0.970 is not reached .* 0.894 is"):
        report = videowino.prune(net, 0.97, budget="global")
    assert report.title == "Pruned 89.4% of the columns"


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
