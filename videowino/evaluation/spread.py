"""Figures over several trainings: mean and spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev


@dataclass(frozen=True)
class Spread:
    """Of one figure over splits, or splits and seeds.

    Attributes:
        mean: each value counting the same.
        spread: sample standard deviation (over n - 1); None of one value.
    """

    mean: float
    spread: float | None

    def __str__(self) -> str:
        """As 47.4 ± 2.3."""
        return format(self)

    def __format__(self, spec: str) -> str:
        """Both numbers by the same format, .1f; a sign is the mean's alone."""
        spec = spec or ".1f"
        mean = format(self.mean, spec)
        return mean if self.spread is None else f"{mean} ± {self.spread:{spec.lstrip('+')}}"


def spread_of(values: Sequence[float]) -> Spread:
    """Mean and spread.

    Args:
        values: one at least.
    """
    return Spread(mean(values), stdev(values) if len(values) > 1 else None)


def over_splits(values: Sequence[float | None]) -> Spread | None:
    """Mean and spread; None where values are absent.

    Args:
        values: one a split.
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return spread_of(known)
