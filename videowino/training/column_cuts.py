"""Columns that go, and come back, while a network trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from videowino.latency import LayerCost, select_by_cost
from videowino.winograd import WinogradConv3d
from videowino.winograd.blocks import to_channels
from videowino.winograd.columns import select_columns
from videowino.winograd.scores import WEIGHT_SCORES

_TINY = torch.finfo(torch.float32).tiny

Layers = Mapping[str, WinogradConv3d]


def scores_of(layers: Layers, score: str, granularity: str = "column") -> dict[str, Tensor]:
    """(P,) or (B, P) by layer; magnitude for a score of gradients of which none is held yet."""
    kind = score if score in WEIGHT_SCORES else "held"
    return {name: layer.scores(kind, granularity) for name, layer in layers.items()}


def masks_for(
    layers: Layers,
    sparsity: float,
    *,
    score: str,
    budget: str,
    granularity: str = "column",
    costs: Mapping[str, LayerCost] | None = None,
) -> dict[str, Tensor]:
    """Masks that prune further, bringing nothing back: (P,) by layer, or (B, P) by blocks.

    Args:
        layers: by name.
        sparsity: fraction of their columns to be pruned.
        score: see `ColumnSparsity`.
        budget: "uniform" or "global", see `select_columns`; "time", see `select_by_cost`.
        granularity: "column", or "block" for blocks of input channels.
        costs: by layer, for "time", which takes whole columns.
    """
    scores = scores_of(layers, score, granularity)
    kept = {
        name: layer.column_mask if granularity == "column" else layer.kept_by_block()
        for name, layer in layers.items()
    }
    if budget == "time":
        assert costs is not None
        total = sum(map(len, kept.values()))
        return select_by_cost(scores, costs, columns=total - round(sparsity * total), masks=kept)
    ranked = {n: s.masked_fill(~kept[n], -1.0) for n, s in scores.items()}  # below any score
    return {n: m & kept[n] for n, m in select_columns(ranked, sparsity, budget).items()}


def exchange(
    layers: Layers, masks: Mapping[str, Tensor], probed: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Masks with some pruned columns in the place of kept ones that are worth less.

    Both are first-order changes of the loss over the same few steps (`ColumnProbe`); held scores
    reach back to when the loss was another. A column that comes back starts with a held score that
    is as far from those of the kept ones.

    Args:
        layers: by name, with the masks and scores of training so far.
        masks: what is to be kept now.
        probed: (P,) by layer, of kept and pruned columns.
        share: of a layer's pruned columns that may come back.
    """
    changed = {}
    for name, layer in layers.items():
        mask, worth = masks[name].clone(), probed[name]
        most = min(int(share * int((~mask).sum())), int(mask.sum()) - 1)
        inside = worth.masked_fill(~mask, torch.inf).sort()
        # Those that go right now stay away.
        outside = worth.masked_fill(layer.column_mask, -torch.inf).sort(descending=True)
        better = (outside.values > inside.values)[: max(0, most)]
        count = int(better.long().cumprod(0).sum())
        back, out = outside.indices[:count], inside.indices[:count]
        scale = layer.scores("held")[mask].mean() / worth[mask].mean().clamp_min(_TINY)
        layer.set_scores(back, scale * worth[back])
        mask[out], mask[back] = False, True
        changed[name] = mask
    return changed


def set_masks(
    layers: Layers,
    masks: Mapping[str, Tensor],
    *,
    compensate: bool,
    optimizers: Sequence[Optimizer],
    keep_weights: bool = False,
) -> None:
    """Prune, and clear what would move pruned weights.

    Args:
        layers: by name.
        masks: (P,) bool by name, or (B, P).
        compensate: see `WinogradConv3d.set_column_mask`.
        optimizers: those that train the layers.
        keep_weights: leave pruned columns the weights that they come back with.
    """
    for name, mask in masks.items():
        layer = layers[name]
        if not torch.equal(mask.expand_as(layer.kept_by_block()), layer.kept_by_block()):
            layer.set_mask(mask, compensate)
            _still(layer, optimizers, keep_weights)


@torch.no_grad()
def _still(layer: WinogradConv3d, optimizers: Sequence[Optimizer], keep_weights: bool) -> None:
    """Zero what belongs to pruned columns alone, and its momentum: nothing moves it any more.

    Masked columns have no gradient, but momentum and weight decay would go on changing them.
    """
    columns = ~layer.column_mask
    owned = {layer.gate: columns}
    # By blocks, a refit makes kept columns of all of `right`: all of it is trained.
    if layer.right is not None and layer.right_transform is None:
        owned[layer.right] = columns
    if layer.parameterization == "vanilla":
        assert isinstance(layer.weight, nn.Parameter)
        owned[layer.weight] = to_channels(~layer.kept_by_block(), layer.in_channels)
    for parameter, pruned in owned.items():
        if parameter is not layer.gate and not keep_weights:
            parameter.masked_fill_(pruned, 0.0)
        for optimizer in optimizers:
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.masked_fill_(pruned, 0.0)
