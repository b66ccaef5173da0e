"""Residual, ReLU, and the rounding of a weight to sixteen bits."""

import pytest
import torch

from videowino.winograd import Tile, WinogradConv3d
from videowino.winograd.finish import Finish, rounded


def test_finish_adds_then_clips():
    y = torch.tensor([-3.0, 1.0, 2.0])
    assert Finish(torch.tensor([1.0, 1.0, -4.0]), relu=True)(y).tolist() == [0, 2, 0]


def test_rounded_keeps_each_column_to_half_a_step():
    u = torch.randn(5, 7, 3) * torch.tensor([1e-3, 1.0, 50.0, 0.0, 7.0])[:, None, None]
    step = u.abs().amax((1, 2)) / 32767
    error = (rounded(u) - u).abs().amax((1, 2))
    assert (error <= 0.51 * step).all()
    assert (error[:3] > 0).all()
    assert error[3] == 0


def test_weight_error_is_what_sixteen_bits_cost():
    layer = WinogradConv3d(16, 24, 3, padding=1, tile=(2, 4, 4))
    error = layer.weight_error()
    assert 1e-5 < error < 2e-4
    x = torch.randn(2, 16, 4, 9, 9)
    with torch.no_grad():
        exact = layer(x)
        layer.weight_bits = 16
        y = layer(x)
    assert "weight_bits=16" in repr(layer)
    assert 0 < (y - exact).norm() / exact.norm() < 20 * error


@pytest.mark.parametrize("kind", ["spatial", "vanilla"])
def test_gradients_pass_rounding_by(kind):
    layer = WinogradConv3d(3, 4, 3, padding=1, parameterization=kind).double()
    x = torch.randn(1, 3, 3, 5, 5, dtype=torch.float64)
    layer(x).sum().backward()
    exact = layer.weight.grad.clone()
    layer.zero_grad()
    layer.weight_bits = 16
    layer(x).sum().backward()
    assert torch.equal(layer.weight.grad, exact)
    assert Tile((2, 4, 4), (3, 3, 3)) == layer.tile
