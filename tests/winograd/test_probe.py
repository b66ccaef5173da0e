import pytest
import torch
from torch import nn

from videowino import WinogradConv3d
from videowino.winograd.probe import ColumnProbe

X = torch.randn(2, 3, 4, 8, 8)


def pruned_layer(parameterization, compensate):
    torch.manual_seed(1)
    conv = nn.Conv3d(3, 5, 3, padding=1)
    layer = WinogradConv3d.from_conv(conv, parameterization=parameterization, rank=4)
    if layer.left is not None and parameterization == "low_rank":
        nn.init.normal_(layer.left, std=0.1)
    layer.set_column_mask(torch.rand(144) < 0.5, compensate)
    return layer


@pytest.mark.parametrize("compensate", [False, True])
@pytest.mark.parametrize("parameterization", ["spatial", "vanilla", "low_rank", "factored"])
def test_a_probe_changes_nothing_and_tells_what_would_come_back(parameterization, compensate):
    layer = pruned_layer(parameterization, compensate)
    weights = torch.randn(2, 5, 4, 8, 8)

    def run():
        layer.zero_grad()
        y = layer(X)
        (y * weights).sum().backward()
        return y.detach(), {n: p.grad.clone() for n, p in layer.named_parameters()}

    y, gradients = run()
    layer.probe = ColumnProbe(layer)
    probed, same = run()
    torch.testing.assert_close(probed, y, rtol=1e-4, atol=1e-4)
    for name, gradient in gradients.items():
        torch.testing.assert_close(same[name], gradient, rtol=1e-3, atol=1e-3)
    layer.probe.gather()
    worth = layer.probe.scores
    # The loss is linear in U: putting a column back changes it by exactly its gate's gradient.
    before = float((y * weights).sum().double())
    u = layer.winograd_weight()
    back = layer.winograd_weight(masked=False)
    for column in (~layer.column_mask).nonzero().flatten()[:3]:
        changed = u.clone()
        changed[..., column] = back[..., column]
        whole = WinogradConv3d(3, 5, 3, padding=1, parameterization="vanilla")
        whole.bias = layer.bias
        with torch.no_grad():
            whole.weight.copy_(changed / whole.column_scale)
        change = abs(float((whole(X).detach() * weights).sum().double()) - before)
        assert float(worth[column]) == pytest.approx(change, rel=1e-2, abs=2e-3)


def test_it_is_silent_without_gradients():
    layer = pruned_layer("low_rank", True)
    layer.probe = ColumnProbe(layer)
    with torch.no_grad():
        quiet = layer(X)
    layer.probe = None
    torch.testing.assert_close(quiet, layer(X).detach(), rtol=1e-5, atol=1e-5)


def test_steps_are_averaged_and_bad_ones_left_out():
    probe = ColumnProbe(pruned_layer("low_rank", True))
    for value in (3.0, 4.0, float("inf")):
        probe.gate.grad = torch.full((144,), value)
        probe.gather()
    assert probe.scores.tolist() == pytest.approx([12.5**0.5] * 144)
