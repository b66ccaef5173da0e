"""Confusions counted by hand."""

import csv

import pytest
import torch

from videowino.evaluation.accuracy import AccuracyMeter
from videowino.evaluation.confusion import Confusion, worst_videos
from videowino.evaluation.confusion_plot import plot_confusion
from videowino.evaluation.protocol import Figure, Outcome, summarize
from videowino.evaluation.protocol_files import figures, write_predictions
from videowino.evaluation.views import Views

NAMES = ["Jump", "Run", "Swim"]
ONE = Views(1, 1)


def outcome(said, labels, *, split=1, bad=(), views=ONE):
    """A test whose video i is given the probabilities said[i]."""
    meter = AccuracyMeter(len(NAMES))
    logits = torch.tensor(said).log()[:, None].expand(-1, views.clips, -1)
    broken = torch.tensor([i in bad for i in range(len(labels))])
    meter.update(logits, torch.tensor(labels), torch.arange(len(labels)), broken)
    videos = tuple(f"{split}/{i}.avi" for i in range(len(labels)))
    return Outcome(f"split{split}.ckpt", split, views, meter.compute(), videos, 4.0, 1.0)


SAID = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]]
LABELS = [0, 1, 0, 2, 2]


def test_matrix_classes_pairs_and_worst_videos():
    found = Confusion.of([outcome(SAID, LABELS)], NAMES)
    assert found.matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 1]]
    assert [(c.name, c.top1, c.videos) for c in found.per_class()] == [
        *(("Jump", 50.0, 2), ("Swim", 50.0, 2), ("Run", 100.0, 1))
    ]
    assert [(p.truth, p.taken_for, p.videos, p.share) for p in found.pairs()] == [
        *(("Jump", "Run", 1, 50.0), ("Swim", "Run", 1, 50.0))
    ]
    worst = worst_videos([outcome(SAID, LABELS)], NAMES)
    assert [(v.path, v.truth, v.predicted) for v in worst] == [
        *(("1/3.avi", "Swim", "Run"), ("1/2.avi", "Jump", "Run"))
    ]
    assert [v.probability for v in worst] == pytest.approx([0.1, 0.3])


def test_unreadable_videos_are_wrong_and_in_no_cell():
    one = outcome(SAID, LABELS, bad=[0, 4])
    assert one.accuracy.unreadable == 2
    assert one.accuracy.video_top1 == pytest.approx(20.0)  # of five, the Run alone
    found = Confusion.of([one], NAMES)
    assert found.matrix.tolist() == [[0, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert found.unreadable.tolist() == [1, 0, 1]
    assert {c.name: c.top1 for c in found.per_class()} == {"Jump": 0.0, "Swim": 0.0, "Run": 100.0}
    assert [p.share for p in found.pairs()] == [50.0, 50.0]
    assert all(v.path in ("1/2.avi", "1/3.avi") for v in worst_videos([one], NAMES))


def test_means_over_splits_for_each_protocol():
    runs = [
        outcome(SAID, LABELS),
        outcome(SAID, LABELS, views=Views(2, 1)),
        outcome(SAID[:2], LABELS[:2], split=2),
        outcome(SAID[2:4], LABELS[2:4], split=2, views=Views(2, 1)),
    ]
    one, two = summarize(runs)
    assert (one.views, two.views) == (Views(1, 1), Views(2, 1))
    assert (one.video_top1.mean, two.video_top1.mean) == pytest.approx((80.0, 30.0))
    assert one.video_top1.spread == pytest.approx(28.2843, abs=1e-3)  # sqrt(2 * 20^2)
    assert one.video_top5 is None  # of three classes
    assert str(two.video_top1) == "30.0 ± 42.4"
    assert str(Figure.of([50.0])) == "50.0"


def test_throughput():
    one = outcome(SAID, LABELS, views=Views(2, 1))
    assert one.clips_per_second == 2.5 and one.network_clips_per_second == pytest.approx(10 / 3)


def test_files(tmp_path):
    runs = [outcome(SAID, LABELS, bad=[0]), outcome(SAID, LABELS, split=2)]
    confusion = Confusion.of(runs, NAMES)
    found = figures(runs, runs, confusion)
    assert [row["video_top1"] for row in found["tested"]] == pytest.approx([40.0, 60.0])
    assert found["mean"][0]["views"] == "1x1"
    assert found["mean"][0]["video_top1"]["mean"] == pytest.approx(50.0)
    assert found["confusion"] == confusion.matrix.tolist()
    assert found["tested"][0]["unreadable"] == 1 and "predictions" not in found["tested"][0]
    write_predictions(runs, NAMES, str(tmp_path / "said.csv"))
    with (tmp_path / "said.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert rows[0]["predicted_1"] == "" and rows[0]["label"] == "Jump"
    assert (rows[1]["predicted_1"], rows[1]["probability_1"]) == ("Run", "0.8")
    assert (rows[9]["video"], rows[9]["predicted_3"]) == ("2/4.avi", rows[9]["predicted_3"])
    plot_confusion(confusion, tmp_path / "deep" / "confusion.png", "both splits")
    assert (tmp_path / "deep" / "confusion.png").read_bytes()[1:4] == b"PNG"
