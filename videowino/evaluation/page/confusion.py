"""Confusion matrices from a comparison's predictions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from videowino.evaluation.comparison import VideoPredictions


@dataclass(frozen=True)
class Cell:
    """Videos of one class that were put in one class; there is none without videos.

    Attributes:
        truth: class, the row.
        predicted: class, the column.
        videos: how many.
        share: of the videos of the true class, 0 to 1.
    """

    truth: int
    predicted: int
    videos: int
    share: float


def confusion(predictions: VideoPredictions, network: str) -> list[Cell]:
    """The cells with videos in them; videos that cannot be read are in none."""
    pairs = Counter(zip(predictions.labels, predictions.predicted[network]))
    of_class = Counter(predictions.labels)
    return [
        Cell(truth, predicted, videos, videos / of_class[truth])
        for (truth, predicted), videos in sorted(pairs.items())
        if predicted >= 0
    ]
