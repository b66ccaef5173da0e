"""Accuracy over splits: mean and spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev


@dataclass(frozen=True)
class Spread:
    """Of one figure over splits.

    Attributes:
        mean: over the splits, each counting the same.
        spread: sample standard deviation (over n - 1); None of one split.
    """

    mean: float
    spread: float | None

    def __str__(self) -> str:
        """As 47.4 ± 2.3."""
        return f"{self.mean:.1f}" + ("" if self.spread is None else f" ± {self.spread:.1f}")


def over_splits(values: Sequence[float | None]) -> Spread | None:
    """Mean and spread; None where values are absent.

    Args:
        values: one a split.
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return Spread(mean(known), stdev(known) if len(known) > 1 else None)
