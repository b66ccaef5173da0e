"""Which classes a network takes for which others, and which videos it gets most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from videowino.evaluation.protocol import Tested


@dataclass(frozen=True)
class ClassAccuracy:
    """Video-level top-1 of one class in percent; videos that cannot be read are wrong."""

    name: str
    top1: float
    videos: int


@dataclass(frozen=True)
class Pair:
    """Videos of one class that are taken for another."""

    truth: str
    taken_for: str
    videos: int
    share: float  # of the class's videos, in percent


@dataclass(frozen=True)
class WorstVideo:
    """A video and how sure the network is of what it is not."""

    path: str
    truth: str
    predicted: str
    probability: float  # of the true class


@dataclass(frozen=True)
class Confusion:
    """Of all videos of some tests together, video-level.

    Attributes:
        class_names: in label order.
        matrix: (classes, classes) int64, rows the truth, columns what was predicted; videos that
            cannot be read are in none.
        unreadable: (classes,) int64, how many of those each class has.
    """

    class_names: Sequence[str]
    matrix: Tensor
    unreadable: Tensor

    @classmethod
    def of(cls, tested: Sequence[Tested], class_names: Sequence[str]) -> Confusion:
        """Counted over the predictions of all of them."""
        classes = len(class_names)
        predictions = [p for one in tested for p in one.accuracy.predictions]
        read = [p for p in predictions if not p.unreadable]
        matrix = torch.zeros(classes, classes, dtype=torch.long)
        if read:
            said = torch.stack([p.probabilities for p in read])
            matrix = multiclass_confusion_matrix(
                said, torch.tensor([p.label for p in read]), num_classes=classes
            )
        labels = torch.tensor([p.label for p in predictions if p.unreadable]).long()
        return cls(class_names, matrix, torch.bincount(labels, minlength=classes))

    def per_class(self) -> list[ClassAccuracy]:
        """The worst class first; classes without a test video are left out."""
        totals = self.matrix.sum(1) + self.unreadable
        rows = [
            ClassAccuracy(name, 100 * int(self.matrix[i, i]) / int(totals[i]), int(totals[i]))
            for i, name in enumerate(self.class_names)
            if totals[i]
        ]
        return sorted(rows, key=lambda row: row.top1)

    def pairs(self, most: int = 10) -> list[Pair]:
        """The most frequent confusions first."""
        totals = self.matrix.sum(1) + self.unreadable
        off = self.matrix.clone().fill_diagonal_(0)
        found = []
        for place in off.flatten().argsort(descending=True, stable=True)[:most].tolist():
            truth, other = divmod(place, len(self.class_names))
            count = int(off[truth, other])
            if count:
                share = 100 * count / int(totals[truth])
                names = self.class_names[truth], self.class_names[other]
                found.append(Pair(*names, count, share))
        return found


def worst_videos(
    tested: Sequence[Tested], class_names: Sequence[str], most: int = 10
) -> list[WorstVideo]:
    """Those whose true class is given the least probability (the highest loss), worst first."""
    rows = [
        WorstVideo(
            one.videos[p.video],
            class_names[p.label],
            class_names[int(p.probabilities.argmax())],
            float(p.probabilities[p.label]),
        )
        for one in tested
        for p in one.accuracy.predictions
        if not p.unreadable and int(p.probabilities.argmax()) != p.label
    ]
    return sorted(rows, key=lambda row: row.probability)[:most]
