"""Max pooling by the kernel against PyTorch's, bit for bit."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from videowino.kernels import native, pooling

pytestmark = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
LAST = torch.channels_last_3d


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_window_stride_and_size(data):
    draw = data.draw
    window = tuple(draw(st.integers(1, 4)) for _ in range(3))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(3))
    padding = tuple(draw(st.integers(0, k // 2)) for k in window)
    size = tuple(draw(st.integers(4, 9)) for _ in range(3))
    ceil = draw(st.booleans())
    torch.manual_seed(draw(st.integers(0, 99)))
    x = torch.randn(draw(st.integers(1, 2)), draw(st.sampled_from([1, 3, 16, 17, 40])), *size)
    x[torch.rand(x.shape) < 0.02] = draw(st.sampled_from([torch.nan, torch.inf, -torch.inf]))
    x = x.contiguous(memory_format=LAST if draw(st.booleans()) else torch.contiguous_format)
    expected = F.max_pool3d(x, window, stride, padding, ceil_mode=ceil)
    threads = torch.get_num_threads()
    torch.set_num_threads(draw(st.integers(1, 2)))
    try:
        found = pooling.max_pool(x, expected.shape[2:], window, stride, padding, float("-inf"))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert found.is_contiguous(memory_format=LAST)


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_a_value_around_the_clip(value):
    x = torch.randn(2, 5, 3, 4, 6)
    expected = F.max_pool3d(F.pad(x, (1, 1, 2, 0, 0, 1), value=value), (2, 3, 3), (2, 1, 2))
    found = pooling.max_pool(x, expected.shape[2:], (2, 3, 3), (2, 1, 2), (0, 2, 1), value)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_what_it_takes():
    assert pooling.takes(torch.empty(1, 2, 3, 4, 5))
    assert not pooling.takes(torch.empty(2, 3, 4, 5))
    assert not pooling.takes(torch.empty(1, 2, 3, 4, 5, dtype=torch.float64))
    assert pooling.max_pool(
        torch.empty(0, 2, 4, 4, 4), (2, 2, 2), (2,) * 3, (2,) * 3, (0,) * 3, 0.0
    ).shape == (0, 2, 2, 2, 2)
