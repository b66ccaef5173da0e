"""Where a network goes wrong: accuracy a class, the confusion matrix, its largest entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
)

from videowino.evaluation.accuracy import Prediction


@dataclass(frozen=True)
class ClassFigures:
    """One class, video-level.

    Attributes:
        name: of the class.
        videos: test videos of it.
        correct: those that are put in it.
        unreadable: those that cannot be read, which count as wrong.
        top1: percent that is correct; None without test videos.
        taken_for: the other class that most of the wrong ones are put in; None if there are none.
        taken_for_videos: how many.
    """

    name: str
    videos: int
    correct: int
    unreadable: int
    top1: float | None
    taken_for: str | None
    taken_for_videos: int


@dataclass(frozen=True)
class Pair:
    """Videos of one class that are put in another.

    Attributes:
        truth: the class they are of.
        taken_for: the class they are put in.
        videos: how many.
        share: of the class's test videos, percent.
    """

    truth: str
    taken_for: str
    videos: int
    share: float


def confusion_matrix(predictions: Sequence[Prediction], num_classes: int) -> Tensor:
    """Videos of class i (rows) that are put in class j (columns), int64; no unreadable ones."""
    read = [p for p in predictions if not p.unreadable]
    predicted = torch.tensor([p.predicted for p in read], dtype=torch.int64)
    label = torch.tensor([p.label for p in read], dtype=torch.int64)
    return multiclass_confusion_matrix(predicted, label, max(2, num_classes))


def per_class(predictions: Sequence[Prediction], names: Sequence[str]) -> list[ClassFigures]:
    """Every class, the worst first; classes without test videos last.

    Args:
        predictions: one a video, of one split or several.
        names: of the classes.
    """
    count = len(names)
    matrix = confusion_matrix(predictions, count)
    label = torch.tensor([p.label for p in predictions])
    # What cannot be read is put in a class that is none.
    predicted = torch.tensor([count if p.unreadable else p.predicted for p in predictions])
    shares = multiclass_accuracy(predicted, label, count + 1, average=None)
    figures = []
    for at, name in enumerate(names):
        mine = [p for p in predictions if p.label == at]
        others = matrix[at].clone()
        others[at] = 0
        worst = int(others.argmax())
        figures.append(
            ClassFigures(
                name=name,
                videos=len(mine),
                correct=int(matrix[at, at]),
                unreadable=sum(p.unreadable for p in mine),
                top1=100 * float(shares[at]) if mine else None,
                taken_for=names[worst] if others[worst] else None,
                taken_for_videos=int(others[worst]),
            )
        )
    return sorted(figures, key=lambda f: (f.top1 is None, f.top1 or 0.0, -f.videos, f.name))


def mean_class_accuracy(classes: Sequence[ClassFigures]) -> float:
    """Mean of the classes' top-1 in percent: each class counts the same, however many videos."""
    known = [figures.top1 for figures in classes if figures.top1 is not None]
    return sum(known) / len(known)


def confused_pairs(predictions: Sequence[Prediction], names: Sequence[str]) -> list[Pair]:
    """All pairs of classes that are confused, the most videos first."""
    matrix = confusion_matrix(predictions, len(names))
    matrix.fill_diagonal_(0)
    videos = torch.bincount(torch.tensor([p.label for p in predictions]), minlength=len(names))
    pairs = [
        Pair(names[i], names[j], int(matrix[i, j]), 100 * int(matrix[i, j]) / int(videos[i]))
        for i, j in matrix.nonzero().tolist()
    ]
    return sorted(pairs, key=lambda pair: (-pair.videos, -pair.share, pair.truth, pair.taken_for))
