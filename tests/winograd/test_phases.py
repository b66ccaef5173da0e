"""A convolution with strides is one with stride 1 over its phases."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from videowino.winograd.phases import (
    Phase,
    axis_phases,
    phase_clip,
    phase_taps,
    phase_weight,
    strided_size,
)


@pytest.mark.parametrize(
    ("taps", "stride", "padding", "expected"),
    [
        (3, 1, 1, [Phase(0, -1, (0, 1, 2))]),
        (3, 2, 1, [Phase(0, 0, (1,)), Phase(1, -1, (0, 2))]),
        (3, 2, 0, [Phase(0, 0, (0, 2)), Phase(1, 0, (1,))]),
        (7, 2, 3, [Phase(0, -1, (1, 3, 5)), Phase(1, -2, (0, 2, 4, 6))]),
        (1, 2, 0, [Phase(0, 0, (0,))]),
        (1, 2, 1, [Phase(1, -1, (0,))]),
        (5, 3, 2, [Phase(0, 0, (2,)), Phase(1, -1, (0, 3)), Phase(2, -1, (1, 4))]),
    ],
)
def test_the_phases_of_an_axis(taps, stride, padding, expected):
    assert axis_phases(taps, stride, padding) == expected
    assert sorted(tap for phase in expected for tap in phase.taps) == list(range(taps))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_they_compute_the_same(data):
    taps, stride, padding = (
        tuple(data.draw(st.integers(low, high)) for _ in range(3))
        for low, high in ((1, 7), (1, 3), (0, 4))
    )
    size = tuple(
        data.draw(st.integers(max(1, r - 2 * p), 11)) for r, p in zip(taps, padding, strict=True)
    )
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    weight = torch.randn(4, 3, *taps, dtype=torch.float64)
    expected = F.conv3d(x, weight, None, stride, padding)
    assert expected.shape[2:] == strided_size(size, taps, stride, padding)
    filters = phase_weight(weight, stride, padding)
    assert filters.shape[2:] == phase_taps(taps, stride)
    found = F.conv3d(phase_clip(x, taps, stride, padding), filters)
    torch.testing.assert_close(found, expected)


def test_too_small():
    with pytest.raises(
        ValueError, match=r"size \(2, 5, 5\) .* smaller than the kernel \(3, 3, 3\)"
    ):
        strided_size((2, 5, 5), (3, 3, 3), (2, 2, 2), (0, 0, 0))
