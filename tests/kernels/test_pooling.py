"""Max pooling in the convolution before it, against PyTorch's after it."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from videowino.kernels import native
from videowino.kernels.frozen import FrozenConv3d
from videowino.winograd import WinogradConv3d
from videowino.winograd.finish import MaxPool
from videowino.winograd.tile import fit_tile

built = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
LAST = torch.channels_last_3d
TILES = [(2, 2, 2), (4, 4, 4), (2, 4, 4), (2, 6, 6), (1, 2, 4), (4, 2, 6), (3, 4, 2), (1, 6, 1)]
ALL = [(a, b, c) for a in (1, 2) for b in (1, 2) for c in (1, 2)][1:]


def assert_same(y, apart):
    """What two compiled forms of the same sums differ by, and NaN where NaN is."""
    torch.testing.assert_close(y, apart, rtol=1e-5, atol=1e-5, equal_nan=True)


@st.composite
def problems(draw):
    """A convolution, a clip, a tile and a pooling that fits it."""
    m = draw(st.sampled_from(TILES))
    taps = draw(st.sampled_from([(3, 3, 3), (3, 3, 3), (1, 3, 3), (3, 2, 1), (2, 3, 4)]))
    taps = tuple(min(r, 9 - n) for r, n in zip(taps, m, strict=True))
    m = fit_tile(m, taps).m
    windows = [window for window in ALL if MaxPool(window).fits(m)]
    pool = MaxPool(draw(st.sampled_from(windows)), draw(st.booleans()))
    padding = tuple(draw(st.integers(0, r // 2)) for r in taps)
    size = [
        draw(st.integers(max(1, r - 2 * p + n - 1), 15))
        for r, p, n in zip(taps, padding, pool.window, strict=True)
    ]
    channels = st.sampled_from([3, 16, 17, 32])
    torch.manual_seed(draw(st.integers(0, 99)))
    conv = nn.Conv3d(
        draw(channels), draw(channels), taps, padding=padding, bias=draw(st.booleans())
    )
    x = torch.randn(draw(st.integers(1, 2)), conv.in_channels, *size)
    layout = draw(st.sampled_from([torch.contiguous_format, LAST]))
    return conv.requires_grad_(False), x.contiguous(memory_format=layout), m, pool


@built
@pytest.mark.parametrize("count", [1, 2])
@settings(max_examples=60, deadline=None)
@given(problem=problems(), relu=st.booleans())
def test_frozen(count, problem, relu):
    conv, x, m, pool = problem
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        frozen = FrozenConv3d(conv, m)
        y = frozen(x, None, relu, pool)
        apart = pool(frozen(x, None, relu))
    finally:
        torch.set_num_threads(before)
    assert y.is_contiguous(memory_format=LAST)
    assert_same(y, apart)
    bias = None if conv.bias is None else conv.bias.double()
    whole = F.conv3d(x.double(), conv.weight.double(), bias, padding=conv.padding)
    expected = F.max_pool3d(whole.relu() if relu else whole, pool.window, ceil_mode=pool.ceil)
    assert y.shape == expected.shape
    assert (y - expected).norm() <= 1e-4 * whole.norm().clamp_min(1e-3)


@built
@settings(max_examples=80, deadline=None)
@given(
    problem=problems(),
    relu=st.booleans(),
    kept=st.sampled_from([1.0, 0.5, 0.1]),
    bits=st.sampled_from([32, 16]),
    count=st.integers(1, 2),
)
def test_pruned(problem, relu, kept, bits, count):
    conv, x, m, pool = problem
    layer = WinogradConv3d.from_conv(conv, tile=m, parameterization="spatial", rank=None).eval()
    mask = torch.rand(layer.columns) < kept
    mask[torch.randint(layer.columns, ())] = True
    layer.column_mask.copy_(mask)
    layer.weight_bits = bits
    layer._derive()
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with torch.no_grad():
            first, ready = (layer.fused(x, None, relu, pool) for _ in range(2))
            apart = pool(layer.fused(x, None, relu))
            again = layer.fused(x, None, relu, pool)  # after another
    finally:
        torch.set_num_threads(before)
    assert torch.equal(first, ready) and torch.equal(first, again)
    assert_same(first, apart)
    assert first.stride() == ready.stride()
    double = layer.double().fused(x.double(), None, relu, pool)  # by the reference
    assert first.shape == double.shape
    assert (first - double).norm() <= 3e-3 * apart.norm().clamp_min(1)


@pytest.mark.parametrize("device_has_kernels", [True, False])
def test_gradients(device_has_kernels):
    dtype = torch.float32 if device_has_kernels else torch.float64
    torch.manual_seed(0)
    layer = WinogradConv3d(3, 5, 3, padding=1, tile=(2, 4, 4)).to(dtype)
    x = torch.randn(2, 3, 4, 7, 9, dtype=dtype, requires_grad=True)
    pool = MaxPool((2, 2, 1))
    layer.fused(x, None, True, pool).square().sum().backward()
    found = x.grad, layer.weight.grad
    x.grad = layer.weight.grad = None
    pool(layer(x).relu()).square().sum().backward()
    for a, b in zip(found, (x.grad, layer.weight.grad), strict=True):
        torch.testing.assert_close(a, b)


@built
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("channels", [5, 16, 35])
@pytest.mark.parametrize("window", [(1, 2, 2), (2, 2, 2), (2, 1, 1), (1, 1, 2)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite(value, window, channels, last):
    """The value is infinite or NaN in the tiles that meet it, and theirs alone."""
    torch.manual_seed(0)
    conv = nn.Conv3d(channels, channels, 3, padding=1)
    layout = LAST if last else torch.contiguous_format
    x = torch.randn(2, channels, 4, 7, 10)
    x[0, 0, 1, 2, 3] = x[1, 0, 3, 6, 9] = value
    x = x.contiguous(memory_format=layout)
    pool = MaxPool(window, True)
    layer = WinogradConv3d.from_conv(conv, tile=(2, 4, 4), parameterization="spatial").eval()
    for relu in (False, True):
        with torch.no_grad():
            y, apart = layer.fused(x, None, relu, pool), pool(layer.fused(x, None, relu))
            frozen = FrozenConv3d(conv, (2, 4, 4))
            cold = frozen(x, None, relu, pool), pool(frozen(x, None, relu))
        assert apart.isnan().any() and not apart.isnan().all()
        assert_same(y, apart)
        assert_same(*cold)


@built
@pytest.mark.parametrize("value", [math.inf, -math.inf])
@pytest.mark.parametrize("channels", [6, 32])
def test_infinite_biases(channels, value):
    conv = nn.Conv3d(3, channels, 3, padding=1).requires_grad_(False)
    conv.bias.fill_(value)
    conv.bias[::2] = -math.inf
    x, pool = torch.randn(1, 3, 5, 7, 7), MaxPool((2, 2, 2), True)
    frozen = FrozenConv3d(conv, (2, 2, 2))
    for relu in (False, True):
        y = frozen(x, None, relu, pool)
        assert_same(y, pool(frozen(x, None, relu)))
        assert not y.isnan().any() and y.isinf().any() == (not relu or value > 0)


@built
@pytest.mark.parametrize("ceil", [False, True])
def test_other_sizes_later(ceil):
    torch.manual_seed(0)
    conv = nn.Conv3d(3, 16, 3, padding=1).requires_grad_(False)
    frozen, pool = FrozenConv3d(conv, (2, 4, 4)), MaxPool((1, 2, 2), ceil)
    for size in range(2, 22):
        x = torch.randn(1, 3, 3, size, size + 1)
        torch.testing.assert_close(frozen(x, pool=pool), pool(conv(x)), rtol=1e-4, atol=1e-4)


def test_large_results_go_past_the_caches():
    conv = nn.Conv3d(3, 64, 3, padding=1).requires_grad_(False)
    layer = WinogradConv3d.from_conv(conv, tile=(4, 4, 4), parameterization="spatial").eval()
    x, pool = torch.randn(1, 3, 16, 90, 90), MaxPool((1, 2, 2))
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(
                layer.fused(x, None, True, pool), pool(conv(x).relu()), rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("window", [(1, 1, 1), (1, 3, 3), (0, 2, 2), (2, 2), (2, 2, 2, 2)])
def test_poolings_that_are_none_of_ours(window):
    with pytest.raises(ValueError, match="no pooling by 2"):
        MaxPool(window)


def test_misuse():
    torch.manual_seed(0)
    x, pool = torch.randn(1, 3, 4, 6, 6), MaxPool((2, 2, 2))
    conv = nn.Conv3d(3, 4, 3, padding=1).requires_grad_(False)
    layers = [WinogradConv3d.from_conv(conv, tile=(2, 3, 2), parameterization="spatial").eval()]
    if native.library() is not None:
        layers.append(FrozenConv3d(conv, (2, 3, 2)))
    for layer in layers:
        call = getattr(layer, "fused", layer)
        with torch.no_grad():
            with pytest.raises(ValueError, match="reach over tiles"):
                call(x, None, False, pool)
            small = MaxPool((2, 1, 2))
            with pytest.raises(ValueError, match="residual is added before pooling"):
                call(x, torch.zeros(1, 4, 4, 6, 6), False, small)
            with pytest.raises(ValueError, match="too small to be pooled"):
                call(x[:, :, :1], None, False, small)
            assert call(x[:, :, :1], None, False, MaxPool((2, 1, 2), True)).shape[2:] == (1, 6, 3)
    with pytest.raises(ValueError, match="reach over tiles"):
        layers[0].train().fused(x, pool=pool)


def test_one_clip_without_a_batch():
    layer = WinogradConv3d(3, 4, 3, padding=1, tile=2).eval()
    x, pool = torch.randn(3, 4, 6, 6), MaxPool((1, 2, 2))
    with torch.no_grad():
        y = layer.fused(x, None, True, pool)
    assert y.shape == (4, 4, 3, 3)
    torch.testing.assert_close(y, layer.fused(x[None], None, True, pool)[0])
