"""Confusion, classes and pairs of a case that can be counted by hand."""

import pytest
import torch

from videowino.evaluation.accuracy import Prediction
from videowino.evaluation.per_class import (
    ClassFigures,
    Pair,
    confused_pairs,
    confusion_matrix,
    mean_class_accuracy,
    per_class,
)
from videowino.evaluation.spread import over_splits

NAMES = ["Ant", "Bee", "Cat", "Dog"]
# (truth, predicted); None cannot be read. No dog is tested.
CASE = [(0, 0), (0, 0), (0, 1), (0, None), (1, 1), (1, 2), (1, 2), (2, 0), (2, 3), (2, 2)]


def said(truth, predicted):
    probabilities = torch.zeros(4) if predicted is None else torch.eye(4)[predicted]
    return Prediction(0, truth, probabilities, (0,), unreadable=predicted is None)


PREDICTIONS = [said(*pair) for pair in CASE]


def test_confusion_matrix_has_truth_in_rows():
    assert confusion_matrix(PREDICTIONS, 4).tolist() == [
        [2, 1, 0, 0],
        [0, 1, 2, 0],
        [1, 0, 1, 1],
        [0, 0, 0, 0],
    ]


def test_classes_worst_first_and_the_unreadable_wrong():
    figures = per_class(PREDICTIONS, NAMES)
    third = pytest.approx(100 / 3)
    assert figures == [
        ClassFigures("Bee", 3, 1, 0, third, "Cat", 2),
        ClassFigures("Cat", 3, 1, 0, third, "Ant", 1),
        ClassFigures("Ant", 4, 2, 1, 50.0, "Bee", 1),
        ClassFigures("Dog", 0, 0, 0, None, None, 0),
    ]
    assert mean_class_accuracy(figures) == pytest.approx((100 / 3 + 100 / 3 + 50) / 3)


def test_pairs_most_first():
    pairs = confused_pairs(PREDICTIONS, NAMES)
    third = pytest.approx(100 / 3)
    assert pairs == [
        Pair("Bee", "Cat", 2, pytest.approx(200 / 3)),
        Pair("Cat", "Ant", 1, third),
        Pair("Cat", "Dog", 1, third),
        Pair("Ant", "Bee", 1, 25.0),
    ]
    assert confused_pairs([said(0, 0)], NAMES) == []


def test_nothing_can_be_read():
    lost = [said(0, None), said(1, None)]
    assert confusion_matrix(lost, 4).sum() == 0
    assert [(f.top1, f.unreadable) for f in per_class(lost, NAMES)[:2]] == [(0.0, 1), (0.0, 1)]


def test_mean_and_spread_by_hand():
    found = over_splits([50.0, 52.0, 57.0])
    assert found.mean == 53.0
    assert found.spread == pytest.approx(((9 + 1 + 16) / 2) ** 0.5)
    assert str(found) == "53.0 ± 3.6"
    alone = over_splits([50.0])
    assert (alone.mean, alone.spread, str(alone)) == (50.0, None, "50.0")
    assert over_splits([50.0, None]) is None
