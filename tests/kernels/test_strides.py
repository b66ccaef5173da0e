"""Strided convolutions by the kernels against the reference in float64, with any columns."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from videowino.kernels import cpu, native
from videowino.winograd import Tile, reference
from videowino.winograd.finish import Finish
from videowino.winograd.weights import Weights

pytestmark = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
LAST = torch.channels_last_3d


@st.composite
def problems(draw):
    stride = draw(st.sampled_from([(2, 2, 2), (1, 2, 2), (2, 1, 1), (2, 1, 2)]))
    taps = tuple(draw(st.sampled_from((1, 2, 3, 4) if s == 1 else (1, 3, 5, 7))) for s in stride)
    m = tuple(draw(st.integers(1, 4)) for _ in range(3))
    pads = tuple(draw(st.integers(0, 3)) for _ in range(6))
    size = tuple(
        draw(st.integers(max(1, r - p - q), r + 7))
        for r, p, q in zip(taps, pads[::2], pads[1::2], strict=True)
    )
    channels = st.sampled_from([1, 3, 9, 16, 17, 32, 40])
    return Tile(m, taps, stride=stride), pads, size, draw(channels), draw(channels)


def weights_of(tile, ins, outs, kind, share):
    """Parts of a weight and which columns of it are kept."""
    keep = torch.rand(tile.positions) < share
    keep[int(torch.randint(tile.positions, ()))] = True
    parts = {"spatial": torch.randn(outs, ins, *tile.taps)}
    if kind == "low_rank":
        parts |= {"left": torch.randn(outs * ins, 3), "right": torch.randn(3, tile.positions)}
    if kind == "vanilla":
        parts = {"winograd": torch.randn(outs, ins, tile.positions)}
    columns = None if keep.all() else keep.nonzero().flatten()
    return Weights((outs, ins), gate=torch.rand(tile.positions) + 0.5, columns=columns, **parts)


def off(found, expected):
    return (found - expected).norm() / expected.norm().clamp_min(1e-3)


@settings(max_examples=60, deadline=None)
@given(
    problems(),
    st.sampled_from(["spatial", "low_rank", "vanilla"]),
    st.sampled_from([0.03, 0.25, 0.5, 1.0]),
    st.booleans(),
    st.integers(1, 2),
    st.integers(0, 99),
)
def test_forward_and_backward(problem, kind, share, last, threads, seed):
    tile, pads, size, ins, outs = problem
    torch.manual_seed(seed)
    weights = weights_of(tile, ins, outs, kind, share)
    x = torch.randn(2, ins, *size).contiguous(
        memory_format=LAST if last else torch.contiguous_format
    )
    shape = (2, outs, *reference.output_size(x.shape, tile, pads))
    bias, residual, dy = torch.randn(outs), torch.randn(shape), torch.randn(shape)
    exact = weights.to(torch.float64)
    finish = Finish(residual, True)
    expected = reference.forward(
        x.double(), exact, bias.double(), tile, pads, Finish(residual.double(), True)
    )
    need = frozenset({"x", "gate", *(n for n in ("spatial", "winograd", "left", "right")
                                     if getattr(weights, n) is not None)})  # fmt: skip
    wanted = reference.backward(dy.double(), x.double(), exact, tile, pads, need)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y = cpu.forward(x, weights, bias, tile, pads, finish)
        again = cpu.forward(x, weights, bias, tile, pads, finish)
        found = cpu.backward(dy, x, weights, tile, pads, need)
    finally:
        torch.set_num_threads(before)
    assert off(y, expected) < 5e-5 and torch.equal(y, again)
    for name in need:
        assert off(getattr(found, name), getattr(wanted, name)) < 1e-4, name


def test_values_that_are_no_numbers_stay_in_their_tiles():
    tile = Tile((2, 2, 2), (3, 3, 3), stride=(2, 2, 2))
    weights = Weights((16, 16), spatial=torch.randn(16, 16, 3, 3, 3))
    x = torch.randn(1, 16, 9, 9, 9)
    clean = cpu.forward(x, weights, None, tile, (0,) * 6)
    x[0, 3, 0, 0, 0] = torch.nan
    y = cpu.forward(x, weights, None, tile, (0,) * 6)
    assert bool(y[0, :, 0, 0, 0].isnan().all())
    torch.testing.assert_close(y[..., 2:, 2:, 2:], clean[..., 2:, 2:, 2:])
