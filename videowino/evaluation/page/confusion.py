"""Confusion matrices from a comparison's predictions."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
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


def label_width(names: Sequence[str], size: float) -> float:
    """Pixels that the longest name takes, in a wide font: names that are cut off say nothing.

    Args:
        names: of the classes.
        size: of the font in pixels.
    """
    return size * max(sum(map(_ems, name)) for name in names)


def _ems(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    return 0.85 if character.isupper() or character in "mw&<>@%+=" else 0.64
