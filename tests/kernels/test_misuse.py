"""What would read the wrong memory is refused, and types are those that were promised."""

import pytest
import torch

from videowino.kernels import cpu, native
from videowino.winograd import Tile, reference, winograd_conv3d
from videowino.winograd.finish import rounded
from videowino.winograd.weights import Weights

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


def test_a_residual_on_another_device():
    x, weight = torch.randn(1, 2, 4, 4, 4), torch.randn(3, 2, 3, 3, 3)
    residual = torch.randn(1, 3, 2, 2, 2, device="meta")
    with pytest.raises(ValueError, match="residual is on meta, x on cpu"):
        winograd_conv3d(x, out_channels=3, tile=F222, spatial=weight, residual=residual)


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
        None, None, bias, 3, [2, 2, 2], [3, 3, 3], [1, 1, 1], "", [0] * 6, [False] * 6 + [True],
    )  # fmt: skip
    assert [part.dtype for part in found] == [torch.bfloat16]


def direct(x, spatial, *, out_channels=3, padding=(0,) * 6, residual=None, bits=32):
    """The operator as those call it who pass the Python face by."""
    return torch.ops.videowino.winograd_conv3d(
        x, spatial, None, None, None, None, None, None, None, None, residual,
        out_channels, [2, 2, 2], [3, 3, 3], [1, 1, 1], "", list(padding), False, bits, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"spatial": torch.randn(3, 3, 3, 3, 3)}, "spatial has shape"),
        ({"out_channels": 8}, "spatial has shape"),
        ({"x": torch.randn(2, 4, 4, 4)}, "x has shape"),
        ({"padding": (0, 0, -1, 0, 0, 0)}, "padding="),
        ({"padding": (0, 0)}, "padding="),
        ({"residual": torch.randn(1, 3, 4, 4, 4)}, "residual has shape"),
        ({"bits": 8}, "weight_bits=8"),
    ],
)
def test_the_operator_itself_refuses(given, message):
    fits = {"x": torch.randn(1, 2, 4, 4, 4), "spatial": torch.randn(3, 2, 3, 3, 3)}
    assert direct(**fits).shape == (1, 3, 2, 2, 2)
    with pytest.raises(ValueError, match=message):
        direct(**(fits | given))


def test_the_backward_operator_refuses_a_gradient_of_another_size():
    x, weight = torch.randn(1, 2, 4, 4, 4), torch.randn(3, 2, 3, 3, 3)
    with pytest.raises(ValueError, match="grad has shape"):
        torch.ops.videowino.winograd_conv3d_backward(
            torch.randn(1, 3, 1, 2, 2), x, weight, None, None, None, None, None, None, None, None,
            3, [2, 2, 2], [3, 3, 3], [1, 1, 1], "", [0] * 6, [True] + [False] * 6,
        )  # fmt: skip


def test_no_output_channels():
    x, weight = torch.randn(1, 2, 4, 4, 4), torch.randn(0, 2, 3, 3, 3, requires_grad=True)
    y = winograd_conv3d(x.requires_grad_(), out_channels=0, tile=F222, spatial=weight)
    assert y.shape == (1, 0, 2, 2, 2)
    y.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x)) and weight.grad.shape == weight.shape


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_column_that_is_no_number_in_sixteen_bits(value):
    """As a whole, in the kernel and in the reference."""
    x, u = torch.randn(1, 2, 4, 4, 4), torch.randn(3, 2, 64)
    u[1, 1, 5] = value
    assert torch.equal(rounded(u.permute(2, 0, 1)).isnan().all((1, 2)), torch.arange(64) == 5)
    missing = winograd_conv3d(x, out_channels=3, tile=F222, winograd=u, weight_bits=16).isnan()
    assert missing.any() and not missing.all()
    assert torch.equal(missing[:, :1].expand_as(missing), missing)


def test_more_places_than_are_counted():
    x = torch.empty(1, 1, 1, 1, 2**31 - 20, device="meta")
    with pytest.raises(ValueError, match="is too large"):
        cpu._problem_of(x, Weights((1, 1)), Tile((1, 1, 2), (1, 1, 3)), (0,) * 6)
