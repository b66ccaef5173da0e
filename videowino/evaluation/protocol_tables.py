"""Terminal tables of a test by protocols."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from videowino.evaluation.protocol_report import ProtocolReport
from videowino.evaluation.spread import Spread
from videowino.evaluation.tables import percent
from videowino.evaluation.video_rows import VideoRow


def protocol_tables(report: ProtocolReport, worst: Sequence[VideoRow], rows: int) -> Group:
    """All of a report.

    Args:
        report: the figures.
        worst: videos to show.
        rows: of each table of classes, pairs and videos, at most.
    """
    by = f"video-level, {report.detailed}"
    mean = f"mean over classes {report.mean_class_top1:.1f} %"
    classes = f"Classes, worst first ({by}; {mean}){_more(len(report.classes), rows)}"
    pairs = f"Most confused ({by}){_more(len(report.pairs), rows)}"
    return Group(
        accuracy_table(report),
        Text(_conditions(report)),
        *_titled("Throughput, all protocols together", throughput_table(report)),
        Text(f"Time: {report.environment}."),
        *_titled(classes, class_table(report, rows)),
        *_titled(pairs, pair_table(report, rows)),
        *_titled(f"Worst videos: wrong with the highest loss ({by})", worst_table(worst)),
        *(Text(note, style="yellow") for note in report.notes),
    )


def accuracy_table(report: ProtocolReport) -> Table:
    """A row a network and protocol, then the means over splits."""
    table = _table()
    table.add_column("network", overflow="fold", min_width=8)
    table.add_column("split", justify="right")
    table.add_column("videos", justify="right")
    table.add_column("clips x\ncrops", justify="right")
    table.add_column("video-level\ntop-1 / 5 %", justify="right")
    table.add_column("clip-level\ntop-1 / 5 %", justify="right")
    for split in report.splits:
        for f in split.protocols:
            table.add_row(
                escape(split.network),
                "-" if split.data.split is None else str(split.data.split),
                str(split.data.videos),
                f.views,
                percent(f.video_top1, f.video_top5),
                percent(f.clip_top1, f.clip_top5),
            )
    for at, over in enumerate(report.mean if len(report.splits) > 1 else []):
        table.add_row(
            f"mean of {len(report.splits)} splits",
            *("", "", over.views),
            _spread(over.video_top1, over.video_top5),
            _spread(over.clip_top1, over.clip_top5),
            style="bold",
        )
        if at == 0:
            table.rows[-2].end_section = True
    return table


def throughput_table(report: ProtocolReport) -> Table:
    """Clips a second, by the network alone and with loading."""
    table = _table()
    for name in ("network", "split"):
        table.add_column(name, overflow="fold", justify="left" if name == "network" else "right")
    for name in ("clips", "clips/s, network\nalone", "clips/s with\nloading", "clips in a pass"):
        table.add_column(name, justify="right")
    table.add_column("loading\nprocesses", justify="right")
    for split in report.splits:
        speed = split.throughput
        table.add_row(
            escape(split.network),
            "-" if split.data.split is None else str(split.data.split),
            *(str(speed.clips), f"{speed.network:.1f}", f"{speed.with_loading:.1f}"),
            *(str(speed.batch_size), str(speed.workers)),
        )
    return table


def class_table(report: ProtocolReport, rows: int) -> Table:
    """Classes, the worst first."""
    table = _table()
    table.add_column("class", overflow="fold")
    for name in ("videos", "correct", "top-1 %"):
        table.add_column(name, justify="right")
    table.add_column("most often taken for", overflow="fold")
    for f in report.classes[:rows]:
        table.add_row(
            escape(f.name),
            str(f.videos),
            str(f.correct),
            "-" if f.top1 is None else f"{f.top1:.1f}",
            "" if f.taken_for is None else f"{escape(f.taken_for)} ({f.taken_for_videos})",
        )
    return table


def pair_table(report: ProtocolReport, rows: int) -> Table:
    """Classes that are confused, the most videos first."""
    table = _table()
    table.add_column("class", overflow="fold")
    table.add_column("taken for", overflow="fold")
    table.add_column("videos", justify="right")
    table.add_column("of the class", justify="right")
    for pair in report.pairs[:rows]:
        share = f"{pair.share:.1f} %"
        table.add_row(escape(pair.truth), escape(pair.taken_for), str(pair.videos), share)
    return table


def worst_table(worst: Sequence[VideoRow]) -> Table:
    """Videos of the highest loss."""
    table = _table()
    table.add_column("loss", justify="right")
    table.add_column("class", overflow="fold")
    table.add_column("taken for", overflow="fold")
    table.add_column("split", justify="right")
    table.add_column("video", overflow="fold")
    for row in worst:
        table.add_row(
            f"{row.loss:.2f}",
            escape(row.label),
            escape(str(row.predicted)),
            "-" if row.split is None else str(row.split),
            Text(repr(row.path) if "\n" in row.path else row.path),
        )
    return table


def _conditions(report: ProtocolReport) -> str:
    data = report.splits[0].data
    splits = [str(split.data.split) for split in report.splits if split.data.split is not None]
    split = f" split{'s' if len(splits) > 1 else ''} {', '.join(splits)}" if splits else ""
    roots = ", ".join(dict.fromkeys(split.data.root for split in report.splits))
    videos = sum(split.data.videos for split in report.splits)
    _, frames, height, width = data.clip_shape
    return (
        f"Accuracy: {data.name} ({roots}){split}: {videos} test videos, clips of "
        f"{frames}x{height}x{width}, {data.num_classes} classes (chance {data.chance:.1f} %); "
        f"video-level by the mean of the views' {report.average}."
    )


def _titled(title: str, table: Table) -> list[RenderableType]:
    return [Text(f"\n{title}", style="bold"), table]


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")


def _spread(top1: Spread, top5: Spread | None) -> str:
    return f"{top1} / " + ("-" if top5 is None else str(top5))


def _more(count: int, rows: int) -> str:
    return f": {rows} of {count}" if count > rows else ""
