"""Channel counts, and pools on maps smaller than their windows."""

import pytest
import torch
from torch import nn

from videowino.models.pooling import AvgPool3dUpTo, MaxPool3dUpTo, let_pools_shrink
from videowino.models.scaling import scale_channels


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(64, 1, 64), (45, 1.0, 45), (64, 0.5, 32), (45, 0.5, 24), (64, 0.01, 8), (192, 0.3, 56)],
)
def test_scale_channels(channels, width, expected):
    assert scale_channels(channels, width) == expected


@pytest.mark.parametrize("size", [(2, 7, 7), (4, 9, 8)])
def test_pools_are_ordinary_where_the_window_fits(size):
    x = torch.randn(2, 3, *size)
    window = (2, 7, 7)
    assert torch.equal(AvgPool3dUpTo(window, 1)(x), nn.AvgPool3d(window, 1)(x))
    assert torch.equal(MaxPool3dUpTo(window, 2)(x), nn.MaxPool3d(window, 2)(x))


def test_pools_take_all_of_a_smaller_map():
    x = torch.randn(2, 3, 1, 4, 9)
    expected = torch.stack([x[..., i : i + 7].mean((2, 3, 4)) for i in range(3)], dim=-1)
    torch.testing.assert_close(AvgPool3dUpTo((2, 7, 7), 1)(x)[:, :, 0, 0], expected)
    expected = torch.stack([x[..., i : i + 7].amax((2, 3, 4)) for i in range(3)], dim=-1)
    assert torch.equal(MaxPool3dUpTo((2, 7, 7), 1)(x)[:, :, 0, 0], expected)


def test_let_pools_shrink_leaves_padded_pools():
    model = nn.Sequential(nn.MaxPool3d(3, 2, padding=1), nn.Sequential(nn.AvgPool3d((2, 7, 7), 1)))
    let_pools_shrink(model)
    assert type(model[0]) is nn.MaxPool3d
    assert type(model[1][0]) is AvgPool3dUpTo
    assert (model[1][0].kernel_size, model[1][0].stride) == ((2, 7, 7), 1)
