import pytest
import torch
from torch import nn

from videowino.winograd import WinogradConv3d, column_sparsity, select_columns, winograd_layers


def kept(masks):
    return {name: mask.int().tolist() for name, mask in masks.items()}


SCORES = {
    "a": torch.tensor([5.0, 1.0, 4.0, 2.0]),
    "b": torch.tensor([0.5, 0.1, 0.3, 0.2, 9.0, 0.4]),
}


def test_uniform_prunes_each_layer_alike():
    masks = select_columns(SCORES, 0.5, "uniform")
    assert kept(masks) == {"a": [1, 0, 1, 0], "b": [1, 0, 0, 0, 1, 1]}


def test_global_ranks_all_columns_together():
    masks = select_columns(SCORES, 0.5, "global")
    assert kept(masks) == {"a": [1, 1, 1, 1], "b": [0, 0, 0, 0, 1, 0]}


def test_global_leaves_no_layer_cut_through():
    scores = {"a": torch.arange(10.0) + 100, "b": torch.arange(10.0)}
    masks = select_columns(scores, 0.5, "global", keep_at_least=0.3)
    assert kept(masks) == {"a": [0] * 3 + [1] * 7, "b": [0] * 7 + [1] * 3}


def test_ties_go_to_the_earlier_column():
    assert kept(select_columns({"a": torch.ones(4)}, 0.5)) == {"a": [1, 1, 0, 0]}


@pytest.mark.parametrize("budget", ["uniform", "global"])
@pytest.mark.parametrize("sparsity", [0, 0.25, 0.5, 0.75, 0.99])
def test_counts_are_the_sparsity_asked_for(budget, sparsity):
    scores = {"a": torch.rand(144), "b": torch.rand(36)}
    masks = select_columns(scores, sparsity, budget, keep_at_least=0.0)
    pruned = sum(int((~mask).sum()) for mask in masks.values())
    assert abs(pruned - sparsity * 180) <= 2
    assert all(mask.any() for mask in masks.values())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((1.0,), "sparsity=1.0 is out of range"),
        ((-0.1,), "sparsity=-0.1 is out of range"),
        ((0.5, "per_layer"), "budget='per_layer' is unknown; choose from uniform, global"),
        ((0.5, "global", 2), "keep_at_least=2 is out of range"),
    ],
)
def test_misuse(arguments, match):
    with pytest.raises(ValueError, match=match):
        select_columns(SCORES, *arguments)


def test_scores_that_are_not_finite():
    with pytest.raises(ValueError, match="scores of layer 'a' are not finite"):
        select_columns({"a": torch.tensor([1.0, torch.nan])}, 0.5)


def test_sparsity_of_a_model_counts_shared_layers_once():
    conv = WinogradConv3d(2, 2, 3, padding=1, tile=2)
    model = nn.Sequential(conv, conv, WinogradConv3d(2, 2, 3, padding=1, tile=2))
    assert list(winograd_layers(model)) == ["0", "2"]
    conv.set_column_mask(torch.arange(64) < 16)
    assert column_sparsity(model) == pytest.approx(48 / 128)
    assert column_sparsity(nn.Linear(1, 1)) == 0
