"""Which columns to keep, over the layers of a network."""

import warnings
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from videowino.winograd.blocks import check_granularity
from videowino.winograd.layers import WinogradConv3d

Budget = Literal["uniform", "global"]


def winograd_layers(model: nn.Module) -> dict[str, WinogradConv3d]:
    """The Winograd layers of a model by name; a layer used twice is listed once."""
    return {
        name: module for name, module in model.named_modules() if isinstance(module, WinogradConv3d)
    }


def column_sparsity(model: nn.Module, granularity: str = "column") -> float:
    """The fraction of all the model's columns that are pruned; 0 without Winograd layers.

    Args:
        model: Any module.
        granularity: "column" takes a column that some blocks of channels keep for the fraction of
            it that is multiplied; "block" is the fraction of all blocks of columns.

    Raises:
        ValueError: Unknown granularity.
    """
    check_granularity(granularity)
    layers = winograd_layers(model).values()
    if granularity == "block":
        total = sum(layer.blocks * layer.columns for layer in layers)
        kept: float = sum(layer.blocks_kept for layer in layers)
    else:
        total = sum(layer.columns for layer in layers)
        kept = sum(layer.columns_multiplied for layer in layers)
    return 1 - kept / total if total else 0.0


def select_columns(
    scores: Mapping[str, Tensor],
    sparsity: float,
    budget: str = "uniform",
    keep_at_least: float = 0.1,
) -> dict[str, Tensor]:
    """Masks that keep the columns with the highest scores.

    Args:
        scores: (P,) per layer, or (B, P), to keep and prune columns by blocks of channels.
        sparsity: Fraction of columns to prune, 0 up to below 1.
        budget: "uniform" prunes the same fraction of each layer; "global" ranks the columns of
            all layers together.
        keep_at_least: With "global", the fraction of its columns that every layer keeps, so
            that no layer is cut through; a sparsity that leaves less is not reached, with a
            warning. At least one column always stays.

    Returns:
        Bool as the scores per layer, True where kept. The pruned count is the sparsity times the
        columns, rounded; ties go to the earlier one, so equal scores give equal masks everywhere.

    Raises:
        ValueError: sparsity, budget or keep_at_least out of range, or a score is not finite.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity={sparsity} is out of range; choose from 0 up to below 1")
    if budget not in get_args(Budget):
        raise ValueError(f"budget={budget!r} is unknown; choose from {', '.join(get_args(Budget))}")
    if not 0 <= keep_at_least <= 1:
        raise ValueError(f"keep_at_least={keep_at_least} is out of range; choose from 0 to 1")
    for name, score in scores.items():
        if not bool(score.isfinite().all()):
            raise ValueError(f"the scores of layer {name!r} are not finite; the loss diverged")
    flat = {name: score.flatten() for name, score in scores.items()}
    if budget == "uniform":
        masks = {
            name: _keep_best(score, len(score) - round(sparsity * len(score)))
            for name, score in flat.items()
        }
    else:
        masks = _select_global(flat, sparsity, keep_at_least)
    return {name: mask.view_as(scores[name]) for name, mask in masks.items()}


def _select_global(
    scores: Mapping[str, Tensor], sparsity: float, keep_at_least: float
) -> dict[str, Tensor]:
    masks = {
        name: _keep_best(score, -int(-keep_at_least * len(score) // 1))
        for name, score in scores.items()
    }
    if not masks:
        return {}
    total = sum(len(mask) for mask in masks.values())
    kept = sum(int(mask.sum()) for mask in masks.values())
    missing = total - round(sparsity * total) - kept
    if missing < 0:
        warnings.warn(
            f"sparsity={sparsity:.3f} is not reached with budget='global', which keeps "
            f"{keep_at_least:.0%} of each layer's columns: {1 - kept / total:.3f} is; "
            "budget='uniform' goes further",
            stacklevel=4,
        )
    if missing > 0:
        contest = [
            score.cpu().masked_fill(masks[name].cpu(), -torch.inf) for name, score in scores.items()
        ]
        chosen = _keep_best(torch.cat(contest), missing).split([len(c) for c in contest])
        for name, extra in zip(masks, chosen, strict=True):
            masks[name] = masks[name] | extra.to(masks[name].device)
    return masks


def _keep_best(score: Tensor, count: int) -> Tensor:
    order = score.argsort(descending=True, stable=True)
    mask = torch.zeros(len(score), dtype=torch.bool, device=score.device)
    mask[order[: max(1, count)]] = True
    return mask
