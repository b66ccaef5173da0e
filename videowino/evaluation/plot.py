"""The picture of a comparison: accuracy against measured speedup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from videowino.evaluation.comparison import AccuracyFigures, Comparison, Row, Speed
from videowino.files import replacing
from videowino.plots.names import place_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito's colours, told apart with any colour vision; the marker says the same once more.
STYLES = {
    "dense": ("#000000", "*", "dense"),
    "exact": ("#009E73", "D", "exact Winograd"),
    "low_rank": ("#0072B2", "o", "low_rank"),
    "vanilla": ("#D55E00", "s", "vanilla"),
    "factored": ("#CC79A7", "^", "factored"),
    "spatial": ("#E69F00", "v", "spatial"),
}
_CLEAR = 5.0  # points around a marker that names leave free
_OFFSET = 0.7  # points of a name's offset, where the page has a pixel
_LOG_FROM = 4.0  # ratio of the largest to the smallest speedup from which the axis is logarithmic


def picture_suffixes() -> set[str]:
    """Suffixes of the formats that a picture can be written in, as ".png"."""
    from matplotlib.backend_bases import FigureCanvasBase

    return {f".{suffix}" for suffix in FigureCanvasBase.get_supported_filetypes()}


def plot_comparison(comparison: Comparison, path: str | Path) -> None:
    """Draws top-1 accuracy against measured speedup, one point a network, and saves it.

    Filled points are video-level, hollow ones below or above them clip-level; bars along the
    speedup axis are the inter-quartile range. Networks without an accuracy are left out.

    Args:
        comparison: at least one row must have an accuracy.
        path: the picture; its suffix sets the format, folders are made as needed.

    Raises:
        ValueError: no row has an accuracy.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = [(row, row.accuracy, row.speed[0]) for row in comparison.rows if row.accuracy]
    if not shown:
        raise ValueError("nothing to plot: no network of the comparison has an accuracy")
    figure, axes = plt.subplots(figsize=(8, 5.2), dpi=150, layout="constrained")
    try:
        _set_axes(axes, comparison, shown)
        single_view = comparison.data.views == 1
        seen: set[str] = set()
        for row, accuracy, speed in shown:
            colour, marker, label = STYLES[row.style]
            size = 15 if marker == "*" else 8
            x, y = speed.speedup, accuracy.video_top1
            axes.errorbar(
                x, y, xerr=_spread(speed), color=colour, elinewidth=1, alpha=0.45, zorder=2
            )
            if not single_view:
                axes.plot([x, x], [y, accuracy.clip_top1], color=colour, lw=0.8, alpha=0.6)
                axes.plot(x, accuracy.clip_top1, marker, ms=size * 0.75, mfc="white", mec=colour)
            name = label if row.style not in seen else "_nolegend_"
            axes.plot(x, y, marker, ms=size, color=colour, mec="white", mew=0.7, label=name)
            seen.add(row.style)
        if not single_view:
            for face, level in (("#555555", "video-level"), ("white", "clip-level")):
                axes.plot([], [], "o", ms=6, mfc=face, mec="#555555", label=level)
        axes.axhline(
            comparison.data.chance, color="#777777", ls="--", lw=1, zorder=1, label="chance"
        )
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
        figure.canvas.draw()  # lays the axes out, so that labels know where they are
        _label_points(axes, shown, single_view)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            figure.savefig(new, format=path.suffix[1:])
    finally:
        plt.close(figure)


def _set_axes(
    axes: Axes, comparison: Comparison, shown: list[tuple[Row, AccuracyFigures, Speed]]
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    speedups = [speed.speedup for _, _, speed in shown]
    low, high = min([*speedups, 1.0]), max([*speedups, 1.0])
    if high / low >= _LOG_FROM:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.35, high * 1.6)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = max(0.12 * (high - low), 0.15)
        axes.set_xlim(max(0.0, low - margin), high + 2 * margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))

    data, environment = comparison.data, comparison.environment
    tops = [y for _, a, _ in shown for y in (a.video_top1, a.clip_top1)]
    bottom, top = min([*tops, data.chance]), max(tops)
    margin = max(0.08 * (top - bottom), (10 - (top - bottom)) / 2)  # 10 points or more in view
    axes.set_ylim(max(-1.0, bottom - margin), min(102.0, top + 1.5 * margin))
    axes.grid(color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    level = "top-1 accuracy (%)"
    axes.set_ylabel(f"video-level = clip-level {level}" if data.views == 1 else level)
    threads = f"{environment.threads} thread" + ("s" if environment.threads != 1 else "")
    on = "" if environment.device == "cpu" else f"{environment.device}, "
    axes.set_xlabel(
        f"measured speedup over dense, times faster\n(batch {comparison.batch_sizes[0]}, {on}"
        f"{environment.instruction_set}, {threads}, medians; bars: inter-quartile range)"
    )
    split = "" if data.split is None else f", split {data.split}"
    axes.set_title(
        f"{data.name}{split}: {data.videos} test videos, {data.views} views each"
        if data.views != 1
        else f"{data.name}{split}: {data.videos} test videos, one view each",
        fontsize=11,
    )


def _spread(speed: Speed) -> list[list[float]]:
    """The bar to the left and to the right of a speedup, from the spread of the times."""
    slower, faster = speed.bounds
    return [[speed.speedup - slower], [faster - speed.speedup]]


def _label_points(
    axes: Axes, shown: list[tuple[Row, AccuracyFigures, Speed]], single_view: bool
) -> None:
    """Names the points, each label at the first place where it covers nothing."""
    figure = axes.figure
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    pixels = figure.dpi / 72  # a point has
    order = sorted(shown, key=lambda entry: -entry[1].video_top1)
    labels = [
        axes.annotate(
            row.name,
            (speed.speedup, accuracy.video_top1),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=8,
            color="#222222",
        )
        for row, accuracy, speed in order
    ]
    boxes = [label.get_window_extent(renderer) for label in labels]
    places = [axes.transData.transform((s.speedup, a.video_top1)) for _, a, s in order]
    hollow = [axes.transData.transform((s.speedup, a.clip_top1)) for _, a, s in order]
    half = _CLEAR * pixels
    marks = places if single_view else [*places, *hollow]
    taken = [(x - half, y - half, x + half, y + half) for x, y in marks]
    sizes = [(box.width, box.height) for box in boxes]
    (left, low), (right, high) = axes.get_window_extent(renderer).get_points()
    offsets = place_names(
        [*map(tuple, places)], sizes, taken, (left, low, right, high), _OFFSET * pixels
    )
    for label, (dx, dy) in zip(labels, offsets):
        label.set_position((dx / pixels, dy / pixels))
        label.set_horizontalalignment("left" if dx > 0 else "right" if dx < 0 else "center")
        label.set_verticalalignment("bottom" if dy > 0 else "top" if dy < 0 else "center")
