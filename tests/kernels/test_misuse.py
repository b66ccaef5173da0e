"""What would read the wrong memory is refused, and types are those that were promised."""

import pytest
import torch

from videowino.kernels import cpu, native
from videowino.winograd import Tile, reference, winograd_conv3d
from videowino.winograd.reference import Weights

pytestmark = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
F222 = Tile((2, 2, 2), (3, 3, 3))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (torch.tensor([3, 70]), "must ascend"),
        (torch.tensor([-1, 3]), "must ascend"),
        (torch.tensor([3, 3]), "must ascend"),
        (torch.tensor([1, 2], dtype=torch.int32), "columns is torch.int32"),
        (torch.ones(64, dtype=torch.bool), "columns is torch.bool"),
    ],
)
def test_columns_that_are_none(columns, message):
    x, weight = torch.randn(1, 2, 4, 4, 4), torch.randn(3, 2, 3, 3, 3)
    with pytest.raises(ValueError, match=message):
        winograd_conv3d(x, out_channels=3, tile=F222, spatial=weight, columns=columns)


def test_parts_on_another_device():
    x, weight = torch.randn(1, 2, 4, 4, 4), torch.randn(3, 2, 3, 3, 3, device="meta")
    with pytest.raises(ValueError, match="spatial is on meta, x on cpu"):
        winograd_conv3d(x, out_channels=3, tile=F222, spatial=weight)


def test_one_left_for_other_channels():
    left, right = torch.randn(16 * 8, 3), torch.randn(3, 64)
    for c_out, c_in in ((16, 8), (8, 16)):
        x = torch.randn(1, c_in, 4, 4, 4)
        y = winograd_conv3d(x, out_channels=c_out, tile=F222, left=left, right=right)
        weights = Weights((c_out, c_in), left=left, right=right)
        expected = reference.forward(x, weights, None, F222, (0,) * 6)
        torch.testing.assert_close(y, expected, rtol=1e-3, atol=1e-3)


def test_gate_gradient_under_another_default_type():
    x, weight = torch.randn(1, 2, 4, 4, 4), torch.randn(3, 2, 3, 3, 3)
    weights = Weights((3, 2), spatial=weight, gate=torch.rand(64))
    grad, need = torch.randn(1, 3, 2, 2, 2), frozenset({"gate"})
    expected = cpu.backward(grad, x, weights, F222, (0,) * 6, need).gate
    torch.set_default_dtype(torch.float64)
    try:
        found = cpu.backward(grad, x, weights, F222, (0,) * 6, need).gate
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, expected)


def test_gradients_have_their_parameter_s_type_when_compiled():
    bias = torch.randn(3, dtype=torch.bfloat16, requires_grad=True)
    x = torch.randn(1, 2, 4, 4, 4, dtype=torch.bfloat16)
    y = winograd_conv3d(
        x, out_channels=3, tile=F222, spatial=torch.randn(3, 2, 3, 3, 3).bfloat16(), bias=bias
    )
    found = torch.ops.videowino.winograd_conv3d_backward(
        torch.ones_like(y), x, torch.randn(3, 2, 3, 3, 3).bfloat16(), None, None, None, None, None,
        None, bias, 3, [2, 2, 2], [3, 3, 3], "", [0] * 6, [False] * 6 + [True],
    )  # fmt: skip
    assert [part.dtype for part in found] == [torch.bfloat16]
