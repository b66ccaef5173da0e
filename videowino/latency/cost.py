"""What a layer's columns cost: a straight line through measured times.

A column that stays costs its product and its share of the depth transforms. A *line*, the columns
of one height and width at all depths, costs its height and width transforms once, however many of
its columns stay: where few are left, which go together matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

import torch
from torch import Tensor

from videowino.winograd.tile import Triple


@dataclass(frozen=True)
class LayerCost:
    """Milliseconds of one layer by its column mask.

    Attributes:
        alpha: Winograd-domain positions per axis.
        fixed: ms with nothing kept: the call, the borders, what is read and written anyway.
        column: ms of each column.
        line: ms of each line with a column in it.
    """

    alpha: Triple
    fixed: float
    column: float
    line: float

    @property
    def columns(self) -> int:
        """P, all of them."""
        return prod(self.alpha)

    def ms(self, mask: Tensor) -> float:
        """Of a column mask, (P,) bool."""
        columns, lines = counts(mask, self.alpha)
        return self.fixed + columns * self.column + lines * self.line


def counts(mask: Tensor, alpha: Triple) -> tuple[int, int]:
    """Columns kept, and lines with one of them."""
    return int(mask.sum()), int(mask.view(alpha).any(0).sum())


def fit_cost(alpha: Triple, masks: Sequence[Tensor], ms: Sequence[float]) -> LayerCost:
    """The cost nearest to measured times, relative to each, with no part below zero.

    Args:
        alpha: Winograd-domain positions per axis.
        masks: (P,) bool each.
        ms: The times.
    """
    assert len(masks) == len(ms) >= 3
    rows = torch.tensor([[1.0, *counts(mask, alpha)] for mask in masks], dtype=torch.float64)
    times = torch.tensor(ms, dtype=torch.float64)
    rows = rows / times[:, None]
    best, least = [0.0, 0.0, 0.0], float("inf")
    # The best fit without negative parts is one of those with some parts left out.
    for size in (3, 2, 1):
        for parts in combinations(range(3), size):
            found = torch.linalg.lstsq(
                rows[:, parts], torch.ones(len(times), 1, dtype=torch.float64), driver="gelsd"
            ).solution[:, 0]
            off = float((rows[:, parts] @ found - 1).square().sum())
            if bool((found >= 0).all()) and off < least:
                least, best = off, [0.0, 0.0, 0.0]
                for part, value in zip(parts, found.tolist(), strict=True):
                    best[part] = value
    return LayerCost(alpha, *best)
