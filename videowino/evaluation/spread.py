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
        std: sample standard deviation (over n - 1).
    """

    mean: float
    std: float

    def __str__(self) -> str:
        """As 47.4 ± 2.3."""
        return f"{self.mean:.1f} ± {self.std:.1f}"


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean and spread; None of a single value, or where values are absent.

    Args:
        values: one a split.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(known) < len(values):
        return None
    return Spread(mean(known), stdev(known))
