import copy
import io

import pytest
import torch
from torch import nn

from videowino.winograd import WinogradConv3d, ineligible_reason

KINDS = [("spatial", None), ("vanilla", None), ("low_rank", 4), ("factored", 27)]


def dense(c_in=3, c_out=5, kernel=3, padding=1, **options):
    return nn.Conv3d(c_in, c_out, kernel, padding=padding, **options)


def swapped(conv, kind="low_rank", rank=4, **options):
    return WinogradConv3d.from_conv(conv, parameterization=kind, rank=rank, **options)


@pytest.mark.parametrize(("kind", "rank"), KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"padding": "same"},
        {"padding": (0, 2, 1), "padding_mode": "circular"},
        {"padding": 1, "padding_mode": "replicate"},
        {"kernel": (1, 3, 3), "padding": (0, 1, 1)},
        {"kernel": (3, 1, 1), "padding": (1, 0, 0)},
        {"kernel": (2, 5, 3), "padding": 2},
    ],
)
def test_starts_without_loss(kind, rank, options):
    conv = dense(**options).double()
    if kind == "factored":
        rank = conv.weight[0, 0].numel()
    if kind == "low_rank":
        rank = min(4, conv.weight[0, 0].numel())
    layer = swapped(conv, kind, rank)
    x = torch.randn(2, 3, 4, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-9, atol=1e-9)
    assert layer.fit_error == 0


def test_unbatched_clip_and_depth_one():
    conv = dense()
    layer = swapped(conv)
    torch.testing.assert_close(
        layer(clip := torch.randn(3, 1, 5, 5)), conv(clip), rtol=1e-5, atol=1e-5
    )


def test_constructor_makes_a_layer_of_its_own():
    layer = WinogradConv3d(2, 4, 3, padding=1, parameterization="vanilla", tile=2)
    assert layer(torch.randn(1, 2, 4, 4, 4)).shape == (1, 4, 4, 4, 4)
    assert layer.weight.shape == (4, 2, 64)


def test_factored_below_full_rank_is_the_best_fit():
    conv = dense(8, 8)
    layer = swapped(conv, "factored", 5)
    u = swapped(conv, "spatial").winograd_weight().flatten(0, 1).double()
    values = torch.linalg.svdvals(u)
    best = (values[5:].square().sum() / values.square().sum()).sqrt().item()
    assert layer.fit_error == pytest.approx(best, rel=1e-4)
    fitted = layer.winograd_weight().flatten(0, 1).double()
    assert ((fitted - u).norm() / u.norm()).item() == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "rank", "trainable"),
    [
        ("spatial", None, 27 * 15 + 5 + 144),
        ("vanilla", None, 144 * 15 + 5 + 144),
        ("low_rank", 4, 4 * (15 + 144) + 5 + 144),
        ("factored", 27, 27 * (15 + 144) + 5 + 144),
    ],
)
def test_trainable_parameters_are_as_designed(kind, rank, trainable):
    layer = swapped(dense(), kind, rank)
    assert sum(p.numel() for p in layer.parameters()) == trainable


def test_frozen_filter_is_stored_once_and_not_trained():
    layer = swapped(dense(16, 16), "low_rank", 2)
    assert "weight" not in dict(layer.named_parameters())
    stream = io.BytesIO()
    torch.save(layer.state_dict(), stream)
    numbers = sum(v.numel() for v in layer.state_dict().values())
    assert numbers == 27 * 256 + 2 * (256 + 144) + 16 + 144 + 144 + 144 + 3
    assert stream.getbuffer().nbytes < 4 * numbers + 8000


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_gate_gradient_is_weight_times_weight_gradient(kind, rank):
    layer = swapped(dense().double(), kind, rank)
    x = torch.randn(1, 3, 4, 6, 6, dtype=torch.float64)
    layer(x).square().sum().backward()
    free = swapped(dense().double(), "vanilla")
    free.load_state_dict(free.state_dict() | {"bias": layer.bias})
    with torch.no_grad():
        free.weight.copy_(layer.winograd_weight() / free.column_scale)
    free(x).square().sum().backward()
    expected = (free.weight * free.weight.grad).sum((0, 1))
    torch.testing.assert_close(layer.gate.grad, expected)


@pytest.mark.parametrize(("kind", "rank"), KINDS)
@pytest.mark.parametrize("compensate", [False, True])
def test_mask_survives_save_load_deepcopy_and_casts(kind, rank, compensate):
    conv = dense()
    layer = swapped(conv, kind, rank)
    mask = torch.rand(144) < 0.5
    layer.set_column_mask(mask, compensate)
    x = torch.randn(1, 3, 4, 8, 8)
    expected = layer(x)
    other = swapped(dense(), kind, rank)
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), copy.deepcopy(layer).double().float()):
        assert torch.equal(twin.column_mask, mask)
        assert twin.columns_kept == int(mask.sum())
        assert bool(twin.compensated) == compensate
        torch.testing.assert_close(twin(x), expected, rtol=1e-5, atol=1e-5)


def test_mask_survives_torch_compile_without_a_graph_break():
    layer = swapped(dense())
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(1, 3, 4, 8, 8)
    for seed in (0, 1):
        torch.manual_seed(seed)
        layer.set_column_mask(torch.rand(144) < 0.5)
        torch.testing.assert_close(compiled(x), layer(x))
        compiled(x).sum().backward()
    assert layer.left.grad is not None


def test_uncompensated_mask_zeroes_columns_and_nothing_else():
    layer = swapped(dense(), "vanilla")
    before = layer.winograd_weight()
    mask = torch.arange(144) % 3 == 0
    layer.set_column_mask(mask, compensate=False)
    torch.testing.assert_close(layer.winograd_weight(), before * mask)
    layer.set_column_mask(torch.ones(144, dtype=torch.bool), compensate=False)
    torch.testing.assert_close(layer.winograd_weight(), before)
    assert layer.kept_columns is None


def test_compensation_is_the_same_for_every_parameterization():
    conv = dense(4, 4).double()
    mask = torch.rand(144) < 0.5
    masks = [mask | (torch.rand(144) < 0.5), mask]  # in two steps, as a ramp prunes
    weights = []
    for kind, rank in KINDS:
        layer = swapped(conv, kind, rank)
        for step in masks:
            layer.set_column_mask(step)
        weights.append(layer.winograd_weight())
    for other in weights[1:]:
        torch.testing.assert_close(weights[0], other, rtol=1e-6, atol=1e-8)


def test_pruned_columns_get_no_gradient():
    layer = swapped(dense(), "vanilla")
    mask = torch.arange(144) < 70
    layer.set_column_mask(mask)
    layer(torch.randn(1, 3, 4, 8, 8)).sum().backward()
    assert (layer.weight.grad[..., ~mask] == 0).all()
    assert (layer.weight.grad[..., mask] != 0).any(0).any(0).all()
    assert (layer.gate.grad[~mask] == 0).all()


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_built_on_the_meta_device(kind, rank):
    original = swapped(dense(), kind, rank)
    original.set_column_mask(torch.rand(144) < 0.5)
    with torch.device("meta"):
        layer = swapped(dense(), kind, rank)
    assert layer.gate.is_meta
    layer = layer.to_empty(device="cpu")
    layer.load_state_dict(original.state_dict())
    x = torch.randn(1, 3, 4, 6, 6)
    assert torch.equal(layer(x), original(x))


def test_a_mask_of_uninitialised_memory_is_no_error():
    """As `to_empty` leaves it."""
    layer = swapped(dense(), "spatial", None)
    layer.column_mask.fill_(False)
    layer.compensated.fill_(True)
    assert layer.to("cpu").columns_kept == 0


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_what_inference_mode_derives_serves_training(kind, rank):
    tile = (1, 2, 3)  # of this test alone, so that nothing is cached
    with torch.inference_mode():
        pruned = WinogradConv3d.from_conv(dense(), parameterization="spatial", tile=(1, 2, 2))
        pruned.set_column_mask(torch.arange(48) < 30)
    layer = swapped(dense(), kind, rank, tile=tile)
    with torch.inference_mode():
        layer.set_column_mask(torch.arange(60) % 2 == 0)
        layer.to("cpu")
    layer(torch.randn(1, 3, 4, 6, 6)).square().sum().backward()
    assert layer.gate.grad[::2].all()


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_a_frozen_convolution_gives_a_frozen_layer(kind, rank):
    layer = swapped(dense().requires_grad_(False), kind, rank)
    assert not any(p.requires_grad for p in layer.parameters())


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_a_refit_starts_from_weights_that_were_only_masked(kind, rank):
    conv = dense().double()
    layer, fresh = swapped(conv, kind, rank), swapped(conv, kind, rank)
    layer.set_column_mask(torch.arange(144) < 60, compensate=False)
    for one in (layer, fresh):
        one.set_column_mask(torch.arange(144) >= 60)
    torch.testing.assert_close(layer.winograd_weight(), fresh.winograd_weight())


def test_what_pruned_columns_have_given_away():
    mask = torch.arange(144) < 60
    for kind, rank in KINDS:
        layer = swapped(dense(), kind, rank)
        layer.set_column_mask(mask, compensate=False)
        assert not layer.given_away().any()
        layer.set_column_mask(mask)
        gone = kind in ("vanilla", "factored")
        assert torch.equal(layer.given_away(), ~mask if gone else torch.zeros_like(mask))
    layer = swapped(dense(), "low_rank", 4)
    nn.init.normal_(layer.left)
    layer.set_column_mask(mask)
    assert torch.equal(layer.given_away(), ~mask)


@pytest.mark.parametrize(
    ("conv", "reason"),
    [
        (nn.Conv3d(2, 2, 3, stride=(1, 3, 3)), "stride 1x3x3"),
        (nn.Conv3d(2, 2, 3, dilation=2), "dilation 2x2x2"),
        (nn.Conv3d(2, 2, 3, groups=2), "2 groups"),
        (nn.Conv3d(2, 2, 1), "kernel 1x1x1"),
        (nn.Conv3d(2, 2, (3, 6, 3)), "taps other than"),
        (nn.utils.parametrizations.weight_norm(nn.Conv3d(2, 2, 3)), "parametrized"),
    ],
)
def test_ineligible_layers_say_why(conv, reason):
    assert reason in ineligible_reason(conv)
    with pytest.raises(ValueError, match="cannot become a WinogradConv3d"):
        WinogradConv3d.from_conv(conv)


def test_a_subclass_is_eligible_unless_it_computes_in_its_own_way():
    class Named(nn.Conv3d):
        pass

    class Scaled(nn.Conv3d):
        def forward(self, x):
            return 2 * super().forward(x)

    assert ineligible_reason(Named(2, 2, 3)) is None
    assert "Scaled computes in its own way" in ineligible_reason(Scaled(2, 2, 3))
    hooked = nn.Conv3d(2, 2, 3)
    hooked.register_forward_hook(lambda *args: None)
    assert "it has hooks" in ineligible_reason(hooked)
    hooked = nn.Conv3d(2, 2, 3)
    hooked.register_full_backward_hook(lambda *args: None)
    assert "it has hooks" in ineligible_reason(hooked)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kind": "lowrank"}, "parameterization='lowrank' is unknown; choose from spatial"),
        ({"rank": 0}, "rank=0 is out of range for low_rank .* choose 1 to 144"),
        ({"rank": 145}, "rank=145 is out of range"),
        ({"kind": "factored", "rank": 28}, "rank=28 is out of range for factored .* 1 to 27"),
        ({"rank": True}, "rank=True is out of range"),
        ({"tile": (2, 4, 7)}, "tile=.*out of range"),
        ({"tile": True}, "tile=True must be one whole number or three"),
        ({"tile": 2.5}, "tile=2.5 must be one whole number or three"),
        ({"tile": (2.0, 4, 4)}, r"tile=\(2.0, 4, 4\) must be one whole number or three"),
    ],
)
def test_arguments_out_of_range(options, match):
    with pytest.raises(ValueError, match=match):
        swapped(dense(), **options)


@pytest.mark.parametrize("padding", [1.5, -1, (1, 1), (1, 1, True)])
def test_padding_that_is_none(padding):
    with pytest.raises(ValueError, match="padding=.* is not one, three or six whole numbers"):
        WinogradConv3d(2, 2, 3, padding=padding)


def test_frames_that_are_not_floating_point():
    layer = swapped(dense())
    with pytest.raises(TypeError, match=r"x is torch.uint8; convert it first, for example x.float"):
        layer(torch.zeros(1, 3, 4, 6, 6, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (torch.ones(144), "expects bool"),
        (torch.ones(27, dtype=torch.bool), "expects bool"),
        (torch.zeros(144, dtype=torch.bool), "prunes every column; keep at least one"),
    ],
)
def test_bad_masks(mask, match):
    with pytest.raises(ValueError, match=match):
        swapped(dense()).set_column_mask(mask)


def test_repr_tells_tile_and_columns():
    layer = swapped(dense())
    layer.set_column_mask(torch.arange(144) < 36)
    assert "F(2x4x4, 3x3x3)" in repr(layer)
    assert "low_rank, rank=4, columns=36/144" in repr(layer)
