"""The picture of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from videowino.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COUNTS_UP_TO = 30  # classes; numbers of more do not fit
_INCH = 0.34  # of a class with its count
_SMALL_INCH = 0.16  # of one without
_LEAST, _MOST = 3.2, 40.0  # inches that the matrix has
_LONGEST = 28  # characters of a name


def plot_confusion(
    confusion: Sequence[Sequence[int]], names: Sequence[str], path: str | Path, title: str = ""
) -> None:
    """Draws a confusion matrix and saves it: rows are the truth, columns what was predicted.

    Colours are shares of the row. Up to 30 classes the cells hold their counts. The picture grows
    with the number of classes, so that every name stays legible.

    Args:
        confusion: videos of a class (row) that were put in a class (column).
        names: of the classes.
        path: the picture; its suffix sets the format, folders are made as needed.
        title: what the matrix is of.
    """
    figure = confusion_figure(confusion, names, title)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        figure.savefig(new, format=path.suffix[1:])


def confusion_figure(
    confusion: Sequence[Sequence[int]], names: Sequence[str], title: str = ""
) -> Figure:
    """The picture that `plot_confusion` saves."""
    from matplotlib.figure import Figure  # not pyplot: no window is wanted

    count = len(names)
    with_counts = count <= _COUNTS_UP_TO
    side = min(_MOST, max(_LEAST, count * (_INCH if with_counts else _SMALL_INCH)))
    font = min(9.0, 72 * side / count * (0.36 if with_counts else 0.62))
    shown = [_shortened(name) for name in names]
    longest = max(len(name) for name in shown) * font * 0.6 / 72
    size = (side + longest + 1.4, side + longest + 1.0)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axes = figure.subplots()
    shares = [_shares(row) for row in confusion]
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    if with_counts:
        for y, row in enumerate(confusion):
            for x, videos in enumerate(row):
                if videos:
                    colour = "white" if shares[y][x] > 55 else "#222222"
                    axes.text(
                        x, y, str(videos), ha="center", va="center", fontsize=font, color=colour
                    )
    axes.set_xticks(range(count), shown, rotation=90, fontsize=font)
    axes.set_yticks(range(count), shown, fontsize=font)
    axes.tick_params(length=0)
    axes.set_xticks([at - 0.5 for at in range(1, count)], minor=True)
    axes.set_yticks([at - 0.5 for at in range(1, count)], minor=True)
    axes.grid(which="minor", color="#e6e6e6", lw=0.4)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    if title:
        axes.set_title(title, fontsize=11, wrap=True)
    bar = figure.colorbar(picture, ax=axes, shrink=min(1.0, 4 / side), aspect=18, pad=0.02)
    bar.set_label("% of the class's videos", fontsize=9)
    return figure


def _shares(row: Sequence[int]) -> list[float]:
    total = sum(row)
    return [100 * videos / total if total else 0.0 for videos in row]


def _shortened(name: str) -> str:
    name = name.replace("$", r"\$").replace("\n", " ")  # no mathematics in names
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
