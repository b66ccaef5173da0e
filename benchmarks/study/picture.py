"""Accuracy against deployed speedup, a line a method, with spreads.

The spread is that of the difference to the dense network of the same split and seed: how good the
dense networks themselves are varies more, and says nothing of the methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.study.summary import Point
from videowino.evaluation.plot import STYLES

# Markers tell the lines of a method apart.
_MARKERS = {
    "filters": "Xx",
    "spatial": "vv",
    "vanilla": "sd",
    "low_rank": "oDP^*<>ph",
    "factored": "^v",
}
_BLACK = "#000000"
_LINES = ("-", "--")


def draw(points: Sequence[Point], path: Path, title: str) -> None:
    """Saves the picture; folders are made as needed.

    Args:
        points: of a study.
        path: its suffix sets the format.
        title: above it.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), dpi=150, layout="constrained")
    try:
        drawn: dict[str, int] = {}
        titles = dict.fromkeys(p.cell["title"] for p in points if p.cell["method"] != "dense")
        for name in titles:
            line = sorted(
                (p for p in points if p.cell["title"] == name), key=lambda p: p.speedup.mean
            )
            method = line[0].cell["method"]
            colour = STYLES[method][0] if method in STYLES else _BLACK
            markers = _MARKERS[method]
            marker = markers[drawn.get(method, 0) % len(markers)]
            style = _LINES[min(drawn.get(method, 0), 1)]
            drawn[method] = drawn.get(method, 0) + 1
            axes.errorbar(
                [p.speedup.mean for p in line],
                [p.accuracy.mean for p in line],
                xerr=[p.speedup.spread or 0.0 for p in line],
                yerr=[p.lost.spread or 0.0 for p in line],
                color=colour,
                marker=marker,
                ls=style,
                ms=6,
                lw=1.3,
                elinewidth=0.7,
                alpha=0.85,
                label=name,
            )
        for point in points:
            if point.cell["method"] == "dense":
                axes.axhline(point.accuracy.mean, color="#777777", lw=1, label="dense")
        axes.set_xlabel("deployed speedup over the dense network in eager PyTorch, times")
        axes.set_ylabel("video-level top-1 accuracy (%); bars: spread of what is lost")
        axes.set_title(title, fontsize=11)
        axes.grid(color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    finally:
        plt.close(figure)
