from dataclasses import replace

import pytest

from videowino.evaluation.comparison import Speed
from videowino.evaluation.page.scatter import NARROW, WIDE, scatter


@pytest.mark.parametrize("frame", [WIDE, NARROW])
def test_marks_stand_where_the_ticks_say(comparison, frame):
    plot = scatter(comparison, 8, frame)
    x = {text: at for at, text in plot.x_ticks}
    y = {float(text): at for at, text in plot.y_ticks}
    scale = (x["2x"] - x["1x"]) / 1.0
    low, high = min(y), max(y)
    rise = (y[high] - y[low]) / (high - low)
    for row, mark in zip(comparison.rows, plot.marks):
        assert mark.name == row.name
        if "0.5x" in x and x["0.5x"] == pytest.approx(x["1x"] - scale / 2, abs=0.3):  # linear
            wanted = x["1x"] + (row.speed[1].speedup - 1) * scale
            assert mark.x == pytest.approx(wanted, abs=0.3)
        assert mark.y == pytest.approx(y[low] + (row.accuracy.video_top1 - low) * rise, abs=0.3)
        assert mark.clip_y == pytest.approx(y[low] + (row.accuracy.clip_top1 - low) * rise, abs=0.3)
        assert frame.left <= mark.left <= mark.x <= mark.right <= frame.right
        assert frame.top <= mark.y <= frame.bottom
    assert [m.on_front for m in plot.marks] == [True, False, True, True]


def test_a_wide_range_is_logarithmic(comparison):
    rows = [
        replace(row, speed=[Speed(1, 1.0, 0.0, 9, speedup, "eager")])
        for row, speedup in zip(comparison.rows, (1.0, 2.0, 4.0, 16.0))
    ]
    marks = scatter(replace(comparison, rows=rows), 1).marks
    steps = [b.x - a.x for a, b in zip(marks, marks[1:])]
    assert steps[1] == pytest.approx(steps[0], abs=0.3)
    assert steps[2] == pytest.approx(2 * steps[0], abs=0.3)


def test_names_cover_nothing_where_there_is_room(comparison):
    plot = scatter(comparison, 1)
    assert len({(m.label.x, m.label.y) for m in plot.marks}) == len(plot.marks)
    for mark in plot.marks:
        assert abs(mark.label.x - mark.x) <= 15 and abs(mark.label.y - mark.y) <= 45


def test_names_do_not_cover_clip_level_marks(comparison):
    """The second network's clip-level accuracy is where the first one's name would stand."""
    dense, _, half, _ = comparison.rows
    rows = [
        replace(dense, accuracy=replace(dense.accuracy, clip_top1=60.0)),
        replace(
            half,
            accuracy=replace(half.accuracy, video_top1=70.0, clip_top1=61.7),
            speed=[replace(half.speed[0], speedup=1.01)],
        ),
    ]
    first, second = scatter(replace(comparison, rows=rows), 1).marks
    assert abs(second.clip_y - (first.y - 10)) < 6 and 5 < second.x - first.x < 45
    below = first.label.y > first.y
    assert below or first.label.anchor == "end"


def test_networks_without_accuracy_are_left_out(comparison):
    rows = [replace(comparison.rows[0], accuracy=None), *comparison.rows[1:]]
    assert [m.name for m in scatter(replace(comparison, rows=rows), 1).marks] == [
        row.name for row in comparison.rows[1:]
    ]
    none = [replace(row, accuracy=None) for row in comparison.rows]
    with pytest.raises(ValueError, match="nothing to plot"):
        scatter(replace(comparison, rows=none), 1)
