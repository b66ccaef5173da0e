"""Columns to keep where they cost time: the least loss for each millisecond saved."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from math import ceil

import torch
from torch import Tensor

from videowino.latency.cost import LayerCost

_KEEP_AT_LEAST = 0.1  # of a layer's columns, as with budget="global"


def select_by_cost(
    scores: Mapping[str, Tensor],
    costs: Mapping[str, LayerCost],
    *,
    ms: float | None = None,
    columns: int | None = None,
    masks: Mapping[str, Tensor] | None = None,
    keep_at_least: float = _KEEP_AT_LEAST,
) -> dict[str, Tensor]:
    """Masks that reach a time, or a number of columns, at the least loss of importance.

    What goes next is the column or the line of columns (one height and width, all depths) with the
    least importance for each millisecond that the layer gets faster by. Importance is the squared
    score: a score is the root of a mean of squares (Taylor) or of a share of energy, and these add
    up.

    Args:
        scores: (P,) per layer.
        costs: Of the same layers.
        ms: Stop when the layers take no longer than this together.
        columns: Stop when no more columns are left than this.
        masks: (P,) bool, what is kept to begin with; all if None.
        keep_at_least: The fraction of its columns that every layer keeps, so that none is cut
            through.

    Returns:
        (P,) bool per layer, True where kept. Where `keep_at_least` is reached before `ms` or
        `columns`, these are the masks of that.

    Raises:
        ValueError: A score is not finite.
    """
    assert (ms is None) != (columns is None)
    assert scores.keys() == costs.keys()
    for name, score in scores.items():
        if not bool(score.isfinite().all()):
            raise ValueError(f"the scores of layer {name!r} are not finite; the loss diverged")
    layers = {
        name: _Layer(score, costs[name], None if masks is None else masks[name], keep_at_least)
        for name, score in scores.items()
    }
    total_ms = sum(layer.ms for layer in layers.values())
    total = sum(layer.kept for layer in layers.values())
    heap = [
        (*cheapest, name, line)
        for name, layer in layers.items()
        for line in range(layer.lines)
        if (cheapest := layer.cheapest(line)) is not None
    ]
    heapq.heapify(heap)
    while heap and (total_ms > ms if ms is not None else total > (columns or 0)):
        price, size, name, line = heapq.heappop(heap)
        layer = layers[name]
        current = layer.cheapest(line)
        if current is None:
            continue
        if current == (price, size):
            # A whole line would overshoot the number of columns.
            if columns is not None and total - size < columns:
                size = 1
            total -= size
            total_ms -= layer.remove(line, size)
            current = layer.cheapest(line)
        if current is not None:
            heapq.heappush(heap, (*current, name, line))
    return {name: layer.mask().to(scores[name].device) for name, layer in layers.items()}


class _Layer:
    """One layer while its columns go; lines hold theirs by importance, ascending."""

    def __init__(
        self, score: Tensor, cost: LayerCost, mask: Tensor | None, keep_at_least: float
    ) -> None:
        self.cost = cost
        self.depths = cost.alpha[0]
        self.lines = cost.alpha[1] * cost.alpha[2]
        importance = score.double().cpu().square().view(self.depths, self.lines).T.tolist()
        kept = torch.ones(len(score), dtype=torch.bool) if mask is None else mask.cpu()
        allowed = kept.view(self.depths, self.lines).T.tolist()
        self.left = [
            sorted((importance[line][d], d) for d in range(self.depths) if allowed[line][d])
            for line in range(self.lines)
        ]
        self.kept = int(kept.sum())
        self.least = max(1, ceil(keep_at_least * len(score) - 1e-9))
        self.ms = cost.ms(kept)

    def cheapest(self, line: int) -> tuple[float, int] | None:
        """Importance a millisecond, and how many columns go: the first of a line, or all."""
        columns = self.left[line]
        if not columns or self.kept <= self.least:
            return None
        one = (columns[0][0] / _positive(self._saved(line, 1)), 1)
        if self.kept - len(columns) < self.least:
            return one
        every = sum(importance for importance, _ in columns)
        return min(one, (every / _positive(self._saved(line, len(columns))), len(columns)))

    def remove(self, line: int, count: int) -> float:
        """Take the first of a line away; the milliseconds saved."""
        saved = self._saved(line, count)
        del self.left[line][:count]
        self.kept -= count
        return saved

    def mask(self) -> Tensor:
        kept = torch.zeros(self.depths, self.lines, dtype=torch.bool)
        for line, columns in enumerate(self.left):
            for _, depth in columns:
                kept[depth, line] = True
        return kept.flatten()

    def _saved(self, line: int, count: int) -> float:
        whole = self.cost.line if count == len(self.left[line]) else 0.0
        return count * self.cost.column + whole


def _positive(ms: float) -> float:
    """Where nothing is saved, columns go by importance, after all others."""
    return max(ms, 1e-9)
