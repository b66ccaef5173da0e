"""Confusions and layers: what the page shows of a comparison's lists."""

from videowino.evaluation.page.confusion import Cell, confusion
from videowino.evaluation.page.layers import layer_bars


def test_confusion_counts_videos_and_leaves_out_unreadable_ones(page):
    assert confusion(page.comparison.predictions, "half <b>") == [
        Cell(0, 0, 1, 0.5),
        Cell(0, 1, 1, 0.5),
        Cell(1, 1, 2, 1.0),
        Cell(2, 2, 1, 0.5),
    ]


def test_layers_stand_beside_the_baseline_s(page):
    (bar,) = layer_bars(page.comparison, "quarter", 1)
    assert (bar.layer, bar.before, bar.after, bar.longest) == ("layer1.0", 4.0, 1.0, 4.0)
    assert bar.speedup == 4.0
    assert layer_bars(page.comparison, "half <b>", 8)[0].speedup == 1.0
    assert layer_bars(page.comparison, "dense", 2) == []
