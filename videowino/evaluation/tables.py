"""Terminal tables of a comparison."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from videowino.evaluation.comparison import Comparison, Row
from videowino.report import quantity

_WIDTH = 132  # for pipes and files, where rich would otherwise assume 80 columns


def make_console() -> Console:
    """A console that does not squeeze tables into 80 columns when the output is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def comparison_table(comparison: Comparison) -> Group:
    """The rows, and under them what they were measured on."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("network", overflow="fold", min_width=12)
    table.add_column("columns\nkept", justify="right")
    table.add_column("video-level\ntop-1 / 5 %", justify="right")
    table.add_column("clip-level\ntop-1 / 5 %", justify="right")
    table.add_column("para-\nmeters", justify="right")
    table.add_column("train-\nable", justify="right")
    table.add_column("multipli-\ncations", justify="right")
    for batch_size in comparison.batch_sizes:
        table.add_column(f"batch {batch_size}\nms a clip", justify="right")
        table.add_column("speedup", justify="right")
    for row in comparison.rows:
        table.add_row(*_cells(row), style="bold" if row.kind == "dense" else None)
    lines = [f"Accuracy: {comparison.data}.", f"Time: {comparison.environment}; medians."]
    return Group(table, *(Text(line) for line in lines + comparison.notes))


def layer_table(comparison: Comparison) -> Table:
    """Milliseconds a clip of the single layers, a line each, as they are before deployment."""
    title = "ms a clip, layer by layer before deployment (evaluate.py latency: in it)"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=title)
    table.add_column("layer", overflow="fold")
    table.add_column("batch", justify="right")
    for row in comparison.rows:
        table.add_column(row.name, justify="right", overflow="fold")
    for entry in comparison.layers:
        times = [f"{entry.ms_per_clip[row.name]:.2f}" for row in comparison.rows]
        table.add_row(entry.layer, str(entry.batch_size), *times)
    return table


def percent(top1: float, top5: float | None) -> str:
    """Top-1 and top-5 in one cell."""
    return f"{top1:.1f} / " + ("-" if top5 is None else f"{top5:.1f}")


def times(speedup: float) -> str:
    """A speedup, two digits after the point: below 1 it is shown as it is."""
    return f"{speedup:.2f}x"


def _cells(row: Row) -> list[str]:
    accuracy = row.accuracy
    cells = [
        row.name,
        "-" if row.columns_kept is None else f"{100 * row.columns_kept:.0f} %",
        "-" if accuracy is None else percent(accuracy.video_top1, accuracy.video_top5),
        "-" if accuracy is None else percent(accuracy.clip_top1, accuracy.clip_top5),
        quantity(row.parameters),
        quantity(row.trainable),
        quantity(row.multiplications),
    ]
    for speed in row.speed:
        cells += [f"{speed.ms_per_clip:.2f}", times(speed.speedup)]
    return cells
