import pytest
import torch
from torch import nn

from videowino.winograd import WinogradConv3d


def layer(kind="low_rank", rank=4, **options):
    return WinogradConv3d.from_conv(
        nn.Conv3d(3, 4, 3, padding=1), parameterization=kind, rank=rank, **options
    )


def backward(module, scale=1.0):
    module.zero_grad()
    (module(torch.randn(2, 3, 4, 6, 6)).square().sum() * scale).backward()


def test_taylor_is_the_bias_corrected_mean_of_squares():
    module = layer()
    squares = []
    for _ in range(3):
        backward(module)
        squares.append((module.gate * module.gate.grad).square().detach())
        module.accumulate_scores("taylor", momentum=0.5)
    expected = (squares[0] * 0.125 + squares[1] * 0.25 + squares[2] * 0.5) / 0.875
    torch.testing.assert_close(module.scores(), expected.sqrt())
    assert int(module.score_steps) == 3


def test_factor_score_is_the_updates_share_of_taylor():
    module = layer().double()
    nn.init.normal_(module.left, std=0.1)
    module.zero_grad()
    module(torch.randn(1, 3, 4, 6, 6, dtype=torch.float64)).square().sum().backward()
    frozen, update = module.gate.grad.clone(), (module.right * module.right.grad).sum(0)
    module.accumulate_scores("factor", momentum=0.0)
    torch.testing.assert_close(module.scores().double(), update.abs().detach(), rtol=1e-5, atol=0)
    # With the frozen filter gone, all of the gate's gradient is the factors'.
    module.weight.zero_()
    module.zero_grad()
    module(torch.randn(1, 3, 4, 6, 6, dtype=torch.float64)).square().sum().backward()
    torch.testing.assert_close(module.gate.grad, (module.right * module.right.grad).sum(0))
    assert not torch.allclose(frozen, update)


def test_factor_score_says_nothing_before_the_first_step():
    module = layer()
    backward(module)
    module.accumulate_scores("factor")
    assert (module.scores() == 0).all()


def test_magnitude_is_each_columns_share_of_the_output_for_white_input():
    conv = nn.Conv3d(3, 4, 3).double()
    module = WinogradConv3d.from_conv(conv, parameterization="spatial")
    x = torch.randn(12, 3, 10, 34, 34, dtype=torch.float64)
    scores = module.magnitude().double()
    assert scores.square().sum() == pytest.approx(1, rel=1e-5)
    energies = []
    columns = [0, 40, 77, 143]
    for column in columns:
        module.set_column_mask(torch.arange(144) == column, compensate=False)
        energies.append(module(x).sub(module.bias.view(-1, 1, 1, 1)).square().sum())
    shares, expected = torch.stack(energies), scores[columns].square()
    torch.testing.assert_close(
        shares / shares.sum(), expected / expected.sum(), rtol=0.1, atol=0.002
    )


def test_steps_with_overflow_are_left_out():
    module = layer()
    backward(module)
    module.gate.grad[3] = torch.inf
    module.accumulate_scores()
    assert int(module.score_steps) == 0
    assert (module.column_score == 0).all()


def test_scores_survive_the_state_dict():
    module = layer()
    backward(module)
    module.accumulate_scores()
    other = layer()
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other.scores(), module.scores())


def test_pruned_columns_keep_the_score_they_had():
    module = layer()
    backward(module)
    module.accumulate_scores(momentum=0.0)
    before = module.scores()
    module.set_column_mask(torch.arange(144) < 100)
    backward(module)
    module.accumulate_scores(momentum=0.0)
    after = module.scores()
    assert torch.equal(after[100:], before[100:])
    assert not torch.equal(after[:100], before[:100])


def test_scores_survive_a_cast():
    module = layer()
    backward(module, 1e-4)
    module.accumulate_scores()
    before = module.scores()
    for cast in (module.half, module.bfloat16, module.double):
        cast()
        assert module.gate.dtype != torch.float32
        assert torch.equal(module.scores(), before)


def test_scores_of_a_frozen_layer_ask_for_its_gate():
    conv = nn.Conv3d(3, 4, 3).requires_grad_(False)
    module = WinogradConv3d.from_conv(conv)
    module(torch.randn(1, 3, 4, 6, 6, requires_grad=True)).sum().backward()
    with pytest.raises(RuntimeError, match="with gate.requires_grad on"):
        module.accumulate_scores("taylor")


def test_misuse():
    module = layer("spatial")
    with pytest.raises(ValueError, match="score='taylr' is unknown; choose from magnitude"):
        module.accumulate_scores("taylr")
    with pytest.raises(ValueError, match="momentum=1 is out of range"):
        module.accumulate_scores(momentum=1)
    with pytest.raises(RuntimeError, match="needs the gate's gradient; call it after backward"):
        module.accumulate_scores("taylor")
    with pytest.raises(ValueError, match="score='factor' needs a low_rank or factored layer"):
        module.accumulate_scores("factor")
    with pytest.raises(ValueError, match="score='taylor' needs gradients"):
        module.scores("taylor")
