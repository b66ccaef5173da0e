"""The picture: written, and its points where the figures say."""

from dataclasses import replace

import pytest
from matplotlib import pyplot as plt

from videowino.evaluation.plot import plot_comparison


@pytest.fixture
def drawn(monkeypatch):
    """Axes of the last picture, which plot_comparison would close."""
    seen = []
    monkeypatch.setattr(plt, "close", lambda figure: seen.append(figure.axes[0]))
    yield seen
    monkeypatch.undo()
    plt.close("all")


def points(axes):
    """label of the series -> what it marks, for filled single points."""
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 1]
    return {(line.get_xdata()[0], line.get_ydata()[0]) for line in lines}


def texts(axes):
    return {text.get_text() for text in axes.texts}


def test_points_labels_and_chance(comparison, drawn, tmp_path):
    path = tmp_path / "deep" / "picture.png"
    plot_comparison(comparison, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000
    (axes,) = drawn
    video = {(1, 61.5), (0.62, 61.5), (1.2, 60.25), (1.9, 49.0)}
    clip = {(1, 57.5), (0.62, 57.5), (1.2, 56.0), (1.9, 44.0)}
    assert points(axes) >= video | clip
    assert texts(axes) == {"dense", "exact Winograd", "half", "quarter"}
    chance = [line for line in axes.get_lines() if line.get_label() == "chance"]
    assert chance[0].get_ydata()[0] == pytest.approx(100 / 26)
    legend = {text.get_text() for text in axes.get_legend().get_texts()}
    assert {"video-level", "clip-level", "chance", "low_rank", "vanilla"} <= legend
    assert axes.get_xscale() == "linear"
    assert "batch 1, avx512, 2 threads" in axes.get_xlabel()
    low, high = axes.get_ylim()
    assert low < 100 / 26
    assert high > 61.5


def test_labels_do_not_cover_each_other(comparison, drawn, tmp_path):
    rows = [
        replace(row, name=f"a rather long name {n}", speed=comparison.rows[0].speed)
        for n, row in enumerate(comparison.rows)
    ]
    plot_comparison(replace(comparison, rows=rows), tmp_path / "picture.png")
    (axes,) = drawn
    renderer = axes.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == 4
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_wide_range_gets_a_logarithmic_axis(comparison, drawn, tmp_path):
    last = comparison.rows[-1]
    rows = [*comparison.rows[:-1], replace(last, speed=[replace(last.speed[0], speedup=6.0)])]
    plot_comparison(replace(comparison, rows=rows), tmp_path / "picture.png")
    assert drawn[0].get_xscale() == "log"


def test_one_view_has_one_level(comparison, drawn, tmp_path):
    data = replace(comparison.data, views=1)
    plot_comparison(replace(comparison, data=data), tmp_path / "picture.png")
    assert drawn[0].get_ylabel() == "video-level = clip-level top-1 accuracy (%)"
    assert (1, 57.5) not in points(drawn[0])


def test_untrained_networks_are_left_out(comparison, drawn, tmp_path):
    rows = [replace(comparison.rows[0], accuracy=None), *comparison.rows[1:]]
    plot_comparison(replace(comparison, rows=rows), tmp_path / "picture.png")
    assert "dense" not in texts(drawn[0])
    with pytest.raises(ValueError, match="nothing to plot"):
        plot_comparison(replace(comparison, rows=rows[:1]), tmp_path / "none.png")
