"""A video's prediction in the terminal: classes with bars, and a timeline."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from videowino.evaluation.predict import VideoPrediction

_BAR = 30  # characters of a probability of 1
_STRIP = 72  # of a timeline
_COLOURS = ("cyan", "yellow", "magenta", "green", "red", "blue")


def prediction_table(prediction: VideoPrediction, names: list[str], top: int = 5) -> Group:
    """The most probable classes over the whole video, and where which is.

    Args:
        prediction: Of one video.
        names: Of the classes.
        top: How many to show.
    """
    count = len(prediction.windows)
    of = f", {count} windows" if count > 1 else ""
    title = Text.assemble((str(prediction.path), "bold"), f"  {prediction.seconds:.1f} s{of}")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    table.add_column(overflow="fold")
    best = prediction.probabilities.topk(min(top, len(names)))
    for value, label in zip(best.values.tolist(), best.indices.tolist()):
        bar = Text("█" * round(_BAR * value), style="cyan")
        table.add_row(f"{100 * value:.1f} %", bar, Text(names[label]))
    parts: list[RenderableType] = [title]
    if prediction.note:
        parts.append(Text(prediction.note, style="yellow"))
    parts.append(table)
    if count > 1:
        parts += timeline(prediction, names)
    return Group(*parts, Text())


def timeline(prediction: VideoPrediction, names: list[str]) -> list[RenderableType]:
    """A strip with a colour for each class, and a line for each stretch of one class."""
    stretches = prediction.stretches()
    order = list(dict.fromkeys(label for _, _, label, _ in stretches))
    colour = {label: _COLOURS[index % len(_COLOURS)] for index, label in enumerate(order)}
    strip = Text()
    end = prediction.windows[-1].end
    for place in range(_STRIP):
        time = (place + 0.5) / _STRIP * end
        label = next(label for _, stop, label, _ in stretches if time <= stop or stop == end)
        strip.append("█", style=colour[label])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("from", justify="right")
    table.add_column("to", justify="right")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right")
    for start, stop, label, mean in stretches:
        name = Text(names[label], style=colour[label])
        table.add_row(clock(start), clock(stop), name, f"{100 * mean:.1f} %")
    return [strip, table]


def clock(seconds: float) -> str:
    """Seconds as 1:02.5, or 1:01:02.5 from an hour."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
