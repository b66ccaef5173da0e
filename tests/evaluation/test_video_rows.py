"""What is told of single videos, and that a CSV file gives it back."""

import csv
import math
from pathlib import Path

import pytest
import torch

from videowino.data import Video
from videowino.evaluation.accuracy import Prediction
from videowino.evaluation.video_rows import video_rows, worst, write_csv

NAMES = ["A", "B,b", 'C"c']
VIDEOS = [
    Video(Path("x/plain.avi"), 0, "g"),
    Video(Path('x/a "quote", é 🎬\nline.avi'), 1, "g"),
    Video(Path("x/lost.avi"), 2, "g"),
    Video(Path("x/sure.avi"), 2, "g"),
]
PREDICTIONS = [
    Prediction(0, 0, torch.tensor([0.5, 0.3, 0.2]), (0,)),
    Prediction(1, 1, torch.tensor([0.1, 0.2, 0.7]), (2,)),
    Prediction(2, 2, torch.zeros(3), (0,), unreadable=True),
    Prediction(3, 2, torch.tensor([1.0, 0.0, 0.0]), (0,)),
]


@pytest.fixture
def rows():
    return video_rows(PREDICTIONS, VIDEOS, NAMES, "dense", 2)


def test_rows(rows):
    first, second, lost, sure = rows
    assert (first.predicted, first.top) == ("A", ("A", "B,b", 'C"c'))
    assert first.loss == pytest.approx(math.log(2))
    assert second.loss == pytest.approx(-math.log(0.2), rel=1e-6)
    assert (lost.predicted, lost.loss, lost.top, lost.probabilities) == (None, None, (), ())
    assert 80 < sure.loss < 100  # not infinite


def test_worst_are_wrong_ones_by_loss(rows):
    assert [row.path for row in worst(rows)] == ["x/sure.avi", str(VIDEOS[1].path)]


def test_csv_round_trip(rows, tmp_path):
    write_csv(rows, NAMES, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [row["path"] for row in read] == [str(video.path) for video in VIDEOS]
    for row, p, video in zip(read, PREDICTIONS, VIDEOS):
        assert (row["network"], row["split"], row["label"]) == ("dense", "2", NAMES[video.label])
        said = [row[f"p({name})"] for name in NAMES]
        if p.unreadable:
            assert said == ["", "", ""]
            assert row["predicted"] == row["loss"] == row["top1"] == row["top3"] == ""
        else:
            assert torch.equal(torch.tensor([float(v) for v in said]), p.probabilities)
            assert row["predicted"] == row["top1"] == NAMES[int(p.probabilities.argmax())]
