"""Where things stand in the plot of accuracy against speedup; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from videowino.evaluation.comparison import AccuracyFigures, Comparison, Row, Speed
from videowino.evaluation.page.front import pareto_front
from videowino.plots.names import box_at, place_names

_LOG_FROM = 4.0  # ratio of the largest to the smallest speedup from which the axis is logarithmic
_LOG_TICKS = (0.1, 0.2, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100)
_LEAST_POINTS = 4.0  # of accuracy that are in view
_CHARACTER, _LINE = 6.7, 15.0  # a label's size in pixels
_CLEAR = 8.0  # pixels around a marker that labels leave free

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Frame:
    """A plot's size, and where its axes are, in pixels."""

    width: int
    height: int
    left: int = 58
    margin_right: int = 18
    top: int = 16
    margin_bottom: int = 52
    longest: int = 40  # characters of a name

    @property
    def right(self) -> int:
        """Where the axes end."""
        return self.width - self.margin_right

    @property
    def bottom(self) -> int:
        """Where the axes stand."""
        return self.height - self.margin_bottom


WIDE = Frame(760, 430)
NARROW = Frame(380, 360, left=50, margin_right=10, longest=22)  # a phone held upright


@dataclass(frozen=True)
class Label:
    """A name beside its marker, where it is long without its middle."""

    text: str
    x: float
    y: float
    anchor: Anchor


@dataclass(frozen=True)
class Mark:
    """A network in the plot.

    Attributes:
        name: of the network.
        style: that of its row.
        x: pixels from the left.
        y: pixels from the top, of the video-level accuracy.
        clip_y: of the clip-level accuracy; None where each video has one view.
        left: where the bar of the speedup's spread begins.
        right: where it ends.
        label: where its name stands.
        on_front: whether no other network is as fast and as accurate.
    """

    name: str
    style: str
    x: float
    y: float
    clip_y: float | None
    left: float
    right: float
    label: Label
    on_front: bool


@dataclass(frozen=True)
class Scatter:
    """The plot of one batch size.

    Attributes:
        batch_size: clips in a forward pass.
        frame: its size.
        marks: one a network that has an accuracy.
        front: SVG path of the Pareto front.
        x_ticks: (pixels from the left, text).
        y_ticks: (pixels from the top, text).
    """

    batch_size: int
    frame: Frame
    marks: list[Mark]
    front: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


@dataclass(frozen=True)
class _Axis:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        """Round values within."""
        if self.logarithmic:
            return [tick for tick in _LOG_TICKS if self.low <= tick <= self.high]
        from matplotlib.ticker import MaxNLocator

        bins = max(3, int(abs(self.end - self.start) // 75))
        found = MaxNLocator(nbins=bins, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        return [float(tick) for tick in found if self.low <= tick <= self.high]


def scatter(comparison: Comparison, batch_size: int, frame: Frame = WIDE) -> Scatter:
    """Lays out the networks that have an accuracy.

    Args:
        comparison: one with at least one such network.
        batch_size: one that was timed.
        frame: to draw it in.

    Raises:
        ValueError: no network has an accuracy.
    """
    at = comparison.batch_sizes.index(batch_size)
    shown = [(row, row.accuracy, row.speed[at]) for row in comparison.rows if row.accuracy]
    if not shown:
        raise ValueError("nothing to plot: no network of the comparison has an accuracy")
    x, y = _axes(shown, comparison.data.views > 1, frame)
    front = pareto_front([(speed.speedup, a.video_top1) for _, a, speed in shown])
    places = [(x(speed.speedup), y(a.video_top1)) for _, a, speed in shown]
    hollow = [(x(s.speedup), y(a.clip_top1)) for _, a, s in shown if comparison.data.views > 1]
    labels = _labels(places, hollow, [row.name for row, _, _ in shown], frame)
    marks = [
        Mark(
            name=row.name,
            style=row.style,
            x=place[0],
            y=place[1],
            clip_y=y(accuracy.clip_top1) if comparison.data.views > 1 else None,
            left=x(speed.bounds[0]),
            right=x(speed.bounds[1]),
            label=label,
            on_front=index in front,
        )
        for index, ((row, accuracy, speed), place, label) in enumerate(zip(shown, places, labels))
    ]
    steps = " L".join(f"{places[index][0]} {places[index][1]}" for index in front)
    return Scatter(
        batch_size,
        frame,
        marks,
        front=f"M{steps}",
        x_ticks=[(x(tick), f"{tick:g}x") for tick in x.ticks],
        y_ticks=[(y(tick), f"{tick:g}") for tick in y.ticks],
    )


def _axes(
    shown: Sequence[tuple[Row, AccuracyFigures, Speed]], clip_level: bool, frame: Frame
) -> tuple[_Axis, _Axis]:
    speedups = [bound for _, _, speed in shown for bound in (*speed.bounds, 1.0)]
    low, high = min(speedups), max(speedups)
    logarithmic = high / low >= _LOG_FROM
    margin = (high / low) ** 0.12 if logarithmic else max(0.12 * (high - low), 0.1)
    ends = (low / margin, high * margin) if logarithmic else (max(0.0, low - margin), high + margin)
    accuracies = [a.video_top1 for _, a, _ in shown]
    accuracies += [a.clip_top1 for _, a, _ in shown] if clip_level else []
    bottom, top = min(accuracies), max(accuracies)
    room = max(0.1 * (top - bottom), (_LEAST_POINTS - (top - bottom)) / 2)
    return (
        _Axis(*ends, frame.left, frame.right, logarithmic),
        _Axis(max(-1.0, bottom - room), min(101.0, top + room), frame.bottom, frame.top),
    )


def _labels(
    places: Sequence[tuple[float, float]],
    hollow: Sequence[tuple[float, float]],
    names: Sequence[str],
    frame: Frame,
) -> list[Label]:
    """For each marker the first place where its name covers nothing, or the least of the rest."""
    taken = [(x - _CLEAR, y - _CLEAR, x + _CLEAR, y + _CLEAR) for x, y in [*places, *hollow]]
    inside = (frame.left, frame.top, frame.right, frame.bottom)
    shown = [_shortened(name, frame.longest) for name in names]
    sizes = [(_CHARACTER * len(name), _LINE) for name in shown]
    labels = []
    offsets = place_names(places, sizes, taken, inside)
    for (x, y), name, size, (dx, dy) in zip(places, shown, sizes, offsets):
        anchor: Anchor = "start" if dx > 0 else "end" if dx < 0 else "middle"
        bottom = box_at((x, y), size, (dx, dy))[3]
        labels.append(Label(name, x + dx, round(bottom - 4, 1), anchor))
    return labels


def _shortened(name: str, longest: int) -> str:
    """With its beginning and its end, which is where names of one study differ."""
    if len(name) <= longest:
        return name
    end = (longest - 1) // 2
    return f"{name[: longest - 1 - end]}…{name[-end:]}"
