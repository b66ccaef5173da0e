"""Terminal tables of tests by the published protocols."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from videowino.evaluation.confusion import ClassAccuracy, Pair, WorstVideo
from videowino.evaluation.protocol import Summary, Tested
from videowino.evaluation.tables import percent


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=title)
    table.title_justify = "left"
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="right" if place else "left")
    return table


def tested_table(tested: Sequence[Tested]) -> Table:
    """A row a network and protocol."""
    table = _table(
        *(
            "",
            "checkpoint",
            "split",
            "views",
            "video-level\ntop-1 / 5 %",
            "clip-level\ntop-1 / 5 %",
        ),
        *("videos", "clips/s", "network alone\nclips/s"),
    )
    for one in tested:
        accuracy = one.accuracy
        bad = f" ({accuracy.unreadable} unreadable)" if accuracy.unreadable else ""
        table.add_row(
            one.checkpoint,
            str(one.split),
            str(one.views),
            percent(accuracy.video_top1, accuracy.video_top5),
            percent(accuracy.clip_top1, accuracy.clip_top5),
            f"{accuracy.videos}{bad}",
            f"{one.clips_per_second:.1f}",
            f"{one.network_clips_per_second:.1f}",
        )
    return table


def summary_table(summaries: Sequence[Summary], splits: int) -> Table:
    """A row a protocol: means over splits."""
    table = _table(
        f"mean and standard deviation over {splits} splits",
        *("views", "video-level top-1 %", "top-5 %", "clip-level top-1 %", "top-5 %"),
    )
    for one in summaries:
        figures = (one.video_top1, one.video_top5, one.clip_top1, one.clip_top5)
        table.add_row(str(one.views), *("-" if f is None else str(f) for f in figures))
    return table


def class_table(classes: Sequence[ClassAccuracy], most: int = 10) -> Table:
    """The worst classes."""
    table = _table("worst classes, video-level", "class", "top-1 %", "videos")
    for one in classes[:most]:
        table.add_row(one.name, f"{one.top1:.1f}", str(one.videos))
    return table


def pair_table(pairs: Sequence[Pair]) -> Table:
    """What is taken for what."""
    table = _table("most confused", "class", "taken for", "videos", "% of the class")
    for one in pairs:
        table.add_row(one.truth, one.taken_for, str(one.videos), f"{one.share:.1f}")
    return table


def worst_table(videos: Sequence[WorstVideo]) -> Table:
    """The videos of highest loss."""
    table = _table("worst videos", "file", "class", "predicted", "probability of its class")
    for one in videos:
        table.add_row(one.path, one.truth, one.predicted, f"{one.probability:.4f}")
    return table
