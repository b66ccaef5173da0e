"""Convolutions with strides by the reference, in float64, and the layer that trains them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from videowino.winograd import Tile, WinogradConv3d, ineligible_reason, winograd_conv3d
from videowino.winograd.operator import _winograd_conv3d

F222 = Tile((2, 2, 2), (3, 3, 3), stride=(2, 2, 2))


@st.composite
def problems(draw):
    stride = tuple(draw(st.integers(1, 2)) for _ in range(3))
    taps = tuple(draw(st.sampled_from((1, 2, 3, 4, 5, 7))) for _ in range(3))
    m = tuple(draw(st.integers(1, 4)) for _ in range(3))
    padding = tuple(draw(st.integers(0, 3)) for _ in range(3))
    size = tuple(
        draw(st.integers(max(1, r - 2 * p), r + 6)) for r, p in zip(taps, padding, strict=True)
    )
    return Tile(m, taps, stride=stride), padding, size


@settings(max_examples=50, deadline=None)
@given(problems())
def test_values_and_gradients_are_conv3d_s(problem):
    tile, padding, size = problem
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, *tile.taps, dtype=torch.float64, requires_grad=True)
    y = winograd_conv3d(x, out_channels=4, tile=tile, spatial=weight, padding=padding)
    expected = F.conv3d(x, weight, None, tile.stride, padding)
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-9)
    dy = torch.randn_like(y)
    found = torch.autograd.grad(y, (x, weight), dy)
    wanted = torch.autograd.grad(expected, (x, weight), dy)
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-8)


def test_samples_beyond_the_last_stride_where_a_batch_is_cut():
    """Wide enough that the reference takes a clip of the batch at a time."""
    x = torch.randn(2, 64, 4, 20, 20, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(64, 64, 1, 1, 1, dtype=torch.float64)
    tile = Tile((1, 1, 1), (1, 1, 1), stride=(1, 2, 2))
    big = x.repeat(1, 1, 4, 3, 3)[..., :60, :60]
    y = winograd_conv3d(big, out_channels=64, tile=tile, spatial=weight)
    expected = F.conv3d(big, weight, None, tile.stride)
    dy = torch.randn_like(expected)
    (found,) = torch.autograd.grad(y, x, dy, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected, x, dy, retain_graph=True)
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-8)


def test_gradcheck_of_every_part():
    torch.manual_seed(0)
    x = torch.randn(1, 2, 4, 5, 3, dtype=torch.float64, requires_grad=True)
    parts = {
        "spatial": torch.randn(2, 2, 3, 3, 3),
        "winograd": torch.randn(2, 2, F222.positions),
        "left": torch.randn(4, 2),
        "right": torch.randn(2, F222.positions),
        "gate": torch.rand(F222.positions),
    }
    leaves = [x, *(part.double().requires_grad_() for part in parts.values())]
    columns = torch.arange(0, F222.positions, 4)

    def run(x, *values):
        given = dict(zip(parts, values, strict=True))
        return winograd_conv3d(
            x, out_channels=2, tile=F222, padding=1, columns=columns, relu=True, **given
        )

    assert torch.autograd.gradcheck(run, leaves)


def test_opcheck():
    x = torch.randn(1, 2, 4, 6, 7, requires_grad=True)
    weight = torch.randn(3, 2, 3, 3, 3, requires_grad=True)
    torch.library.opcheck(
        _winograd_conv3d,
        (
            x, weight, None, None, None, None, None, torch.arange(0, 125, 3), None,
            None, None,
            3, [2, 2, 2], [3, 3, 3], [2, 2, 2], "", [1] * 6, False, 32, True,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "rank"), [("spatial", None), ("vanilla", None), ("low_rank", 4), ("factored", 27)]
)
def test_a_layer_starts_as_its_convolution_and_trains(kind, rank):
    torch.manual_seed(0)
    conv = nn.Conv3d(3, 5, 3, (2, 2, 1), 1, dtype=torch.float64)
    layer = WinogradConv3d.from_conv(conv, tile=(2, 3, 2), parameterization=kind, rank=rank)
    x = torch.randn(2, 3, 5, 9, 6, dtype=torch.float64)
    assert layer.stride == (2, 2, 1) and layer.columns == 5 * 7 * 4
    y = layer(x)
    torch.testing.assert_close(y, conv(x), rtol=1e-8, atol=1e-8)
    before = y.square().mean()
    before.backward()
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
    assert layer(x).square().mean() < before


def test_pruning_a_column_takes_its_share_away():
    torch.manual_seed(0)
    layer = WinogradConv3d(2, 3, 3, stride=2, padding=1, tile=2, dtype=torch.float64).eval()
    x = torch.randn(1, 2, 6, 6, 6, dtype=torch.float64)
    whole = layer(x)
    mask = torch.ones(125, dtype=torch.bool)
    shares = []
    for column in (0, 7, 124):
        only = torch.zeros(125, dtype=torch.bool)
        only[column] = True
        layer.set_column_mask(only, compensate=False)
        shares.append(layer(x) - layer.bias.view(-1, 1, 1, 1))
        mask[column] = False
    layer.set_column_mask(mask, compensate=False)
    torch.testing.assert_close(layer(x) + sum(shares), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kernel_size": 3, "stride": 3}, "stride 3x3x3"),
        ({"kernel_size": 2, "stride": 2}, "kernel 2x2x2 with stride as long, nothing to save"),
        ({"kernel_size": (1, 1, 1), "stride": 2}, "kernel 1x1x1, nothing to save"),
    ],
)
def test_what_stays_with_strides_asked_for(settings, reason):
    conv = nn.Conv3d(2, 2, **settings)
    assert ineligible_reason(conv, strided=True) == reason
    with pytest.raises(ValueError, match="cannot become a WinogradConv3d"):
        WinogradConv3d.from_conv(conv)


def test_strides_are_taken_only_when_asked_for():
    conv = nn.Conv3d(2, 2, 3, stride=(1, 2, 2))
    assert ineligible_reason(conv) == "stride 1x2x2"
    assert ineligible_reason(conv, strided=True) is None


def test_sixteen_bits_are_for_stride_1():
    layer = WinogradConv3d(2, 2, 3, stride=2, tile=2).eval()
    layer.weight_bits = 16
    with pytest.raises(ValueError, match="weight_bits=16 is for stride 1"):
        layer(torch.randn(1, 2, 5, 5, 5))
