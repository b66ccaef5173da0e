"""Convolutions with strides, and any others, by the kernel for inference."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from videowino.kernels import native
from videowino.kernels.frozen import FrozenConv3d

pytestmark = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
LAST = torch.channels_last_3d


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_stride_tile_size_and_layout(data):
    draw = data.draw
    stride = tuple(draw(st.integers(1, 2)) for _ in range(3))
    taps = tuple(
        draw(st.sampled_from((1, 2, 3, 4) if s == 1 else (1, 2, 3, 4, 5, 7))) for s in stride
    )
    m = tuple(draw(st.integers(1, 5)) for _ in range(3))
    padding = tuple(draw(st.integers(0, 3)) for _ in range(3))
    size = tuple(
        draw(st.integers(max(1, r - 2 * p), r + 9)) for r, p in zip(taps, padding, strict=True)
    )
    channels, uneven = st.sampled_from([1, 3, 8, 16, 17, 33, 80]), draw(st.booleans())
    torch.manual_seed(draw(st.integers(0, 99)))
    conv = nn.Conv3d(
        draw(channels), draw(channels), taps, stride, padding, bias=draw(st.booleans())
    )
    x = torch.randn(draw(st.integers(1, 2)), conv.in_channels, *size)
    bias = None if conv.bias is None else conv.bias.double()
    around = [draw(st.integers(0, 5)) if uneven else 0 for _ in range(6)]
    padded = F.pad(x.double(), [*around[4:], *around[2:4], *around[:2]])
    expected = F.conv3d(padded, conv.weight.double(), bias, stride, padding)
    residual = torch.randn_like(expected) if draw(st.booleans()) else None
    relu = draw(st.booleans())
    if residual is not None:
        expected = expected + residual
    expected = expected.relu() if relu else expected
    layout = draw(st.sampled_from([torch.contiguous_format, LAST]))
    threads = torch.get_num_threads()
    torch.set_num_threads(draw(st.integers(1, 2)))
    try:
        with torch.no_grad():
            frozen = FrozenConv3d(conv, m, around)
            added = None if residual is None else residual.float()
            y = frozen(x.contiguous(memory_format=layout), added, relu)
            again = frozen(x.contiguous(memory_format=layout), added, relu)
    finally:
        torch.set_num_threads(threads)
    assert y.shape == expected.shape and y.is_contiguous(memory_format=LAST)
    assert (y - expected).norm() <= 1e-4 * expected.norm().clamp_min(1e-3)
    assert torch.equal(y, again)


def make():
    torch.manual_seed(0)
    conv = nn.Conv3d(5, 7, 3, 2, 1)
    return conv, FrozenConv3d(conv, (2, 3, 3)), torch.randn(1, 5, 6, 9, 9)


def test_other_shapes_later_and_many_of_them():
    conv, frozen, _ = make()
    with torch.no_grad():
        for size in range(3, 30):
            x = torch.randn(1, 5, 3, size, 4)
            torch.testing.assert_close(frozen(x), conv(x), rtol=1e-4, atol=1e-5)
    assert len(frozen._ready) == 16


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_pack_anew(again):
    conv, frozen, x = make()
    with torch.no_grad():
        frozen(x)
        other = again(frozen)
        assert other._packed is None and not other._ready
        other.weight.mul_(2)
        torch.testing.assert_close(
            other(x) - conv.bias.view(-1, 1, 1, 1),
            2 * (conv(x) - conv.bias.view(-1, 1, 1, 1)),
            rtol=1e-4,
            atol=1e-5,
        )


def test_clips_with_gaps():
    conv, frozen, _ = make()
    x = torch.randn(1, 5, 6, 9, 18)[..., ::2]
    with torch.no_grad():
        torch.testing.assert_close(frozen(x), conv(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 2},
        {"dilation": 2},
        {"stride": 3},
        {"padding": 1, "padding_mode": "circular"},
        {"dtype": torch.float64},
        {"kernel_size": 5},
    ],
)
def test_what_does_not_fit(options):
    assert not FrozenConv3d.fits(nn.Conv3d(4, 4, **{"kernel_size": 3} | options), (2, 2, 2))


@pytest.mark.parametrize("taps", [(3, 3, 3), (2, 3, 4)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(taps, padding):
    conv, x = nn.Conv3d(3, 5, taps, padding=padding), torch.randn(2, 3, 6, 7, 9)
    with torch.no_grad():
        torch.testing.assert_close(FrozenConv3d(conv, (2, 3, 4))(x), conv(x), rtol=1e-4, atol=1e-5)


def test_not_so_large_a_tile():
    assert FrozenConv3d.fits(nn.Conv3d(4, 4, 7, 2), (5, 5, 5))
    assert not FrozenConv3d.fits(nn.Conv3d(4, 4, 7, 2), (6, 5, 5))


def test_a_clip_that_is_too_small():
    with pytest.raises(ValueError, match="smaller than the kernel"):
        FrozenConv3d(nn.Conv3d(1, 1, 3), (2, 2, 2))(torch.randn(1, 1, 2, 5, 5))


def test_residuals_of_other_layouts_and_shapes():
    conv, frozen, x = make()
    with torch.no_grad():
        y = frozen(x)
        torch.testing.assert_close(frozen(x, torch.ones_like(y).contiguous()), y + 1)
        with pytest.raises(ValueError, match="residual has shape"):
            frozen(x, y[:, :1])


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_no_clips(layout):
    conv = nn.Conv3d(3, 4, 3, padding=1)
    y = FrozenConv3d(conv, (2, 4, 4))(torch.empty(0, 3, 4, 8, 8).to(memory_format=layout))
    assert y.shape == (0, 4, 4, 8, 8)
