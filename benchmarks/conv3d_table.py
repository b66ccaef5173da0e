"""What benchmarks.conv3d finds: rows, the tables it prints, and the means over layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.table import Table

FORWARD = {"all": 1.0, "half": 0.5, "quarter": 0.25}
TRAINING = {"all": 1.0, "half": 0.5}
# Beside its result a convolution may take so much memory, or half of the result.
MOST_EXTRA = 64 << 20


@dataclass(frozen=True)
class Cell:
    """One Winograd layer: milliseconds, times faster than conv3d, and where the time goes."""

    tile: str
    ms: float
    speedup: float
    over_onednn: float | None
    of_peak: float
    moved_mb: float
    extra_mb: float | None


@dataclass(frozen=True)
class Row:
    """One layer, batch and number of threads, forward or training."""

    layer: str
    networks: list[str]
    work: str
    batch: int
    threads: int
    layout: str
    conv3d_ms: float
    onednn_ms: float | None
    onednn_of_peak: float | None
    output_mb: float
    cells: dict[str, Cell] = field(default_factory=dict)


def geometric_mean(values: Sequence[float]) -> float:
    """Exp of the mean logarithm."""
    return math.exp(sum(map(math.log, values)) / len(values))


def table(rows: Sequence[Row], work: str) -> Table:
    """What is printed: ms, times faster than conv3d, tile, share of the FMA peak."""
    names = FORWARD if work == "forward" else TRAINING
    shown = Table("layer", "batch", "threads", "conv3d ms", "oneDNN", *names, "moved", "extra MB")
    shown.title = work
    for row in rows:
        if row.work != work:
            continue
        cells = [
            f"{cell.ms:.2f} ms {cell.speedup:.1f}x {cell.tile} {cell.of_peak:.0%}"
            for cell in row.cells.values()
        ]
        onednn = "" if row.onednn_ms is None else f"{row.onednn_ms:.2f} {row.onednn_of_peak:.0%}"
        extra = [cell.extra_mb for cell in row.cells.values() if cell.extra_mb is not None]
        shown.add_row(
            row.layer, str(row.batch), str(row.threads), f"{row.conv3d_ms:.2f}", onednn, *cells,
            f"{row.cells['all'].moved_mb:.0f}", f"{max(extra):.0f}" if extra else "?",
        )  # fmt: skip
    return shown


def means(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Geometric means over the layers, and what the worst layer has."""
    found: list[dict[str, object]] = []
    kinds = sorted({(r.work, r.threads, r.batch) for r in rows})
    for work, threads, batch in kinds:
        some = [r for r in rows if (r.work, r.threads, r.batch) == (work, threads, batch)]
        overs = ("speedup", "over_onednn") if work == "forward" else ("speedup",)
        for over in overs:
            values = {n: [getattr(r.cells[n], over) for r in some] for n in some[0].cells}
            found.append(
                {"work": work, "threads": threads, "batch": batch, "layers": len(some)}
                | {"over": "conv3d" if over == "speedup" else "onednn"}
                | {name: geometric_mean(each) for name, each in values.items()}
                | {"slowest": min(values["all"])}
            )
    return found


def too_much_memory(rows: Sequence[Row]) -> list[str]:
    """Forward passes that took more than they may beside their result."""
    return [
        f"{row.layer}, batch {row.batch}, {row.threads} threads, {name}: {cell.extra_mb:.0f} MB"
        for row in rows
        for name, cell in row.cells.items()
        if row.work == "forward" and cell.extra_mb is not None
        if cell.extra_mb > max(MOST_EXTRA / 1e6, row.output_mb / 2)
    ]
