"""A study's outcome in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.study.summary import Point, Rows
from videowino.environment import Environment

_HEAD = (
    *("cell", "pruned", "accuracy", "points lost", "deployed speedup", "over the fastest form"),
    *("over filters in that time", "trained parameters"),
)


def curve_table(points: Sequence[Point]) -> str:
    """A row a cell."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|---|---:" + "|---:" * (len(_HEAD) - 2) + "|"]
    for point in points:
        cell = point.cell
        pruned = f"{100 * cell['sparsity']:g} %"
        if cell["speedup"] is not None:
            pruned = f"{100 * (1 - point.columns_kept):.0f} % for {cell['speedup']:g}x"
        cells = [
            cell["title"],
            "" if cell["method"] == "dense" else pruned,
            str(point.accuracy),
            "" if cell["method"] == "dense" else f"{point.lost:+.1f}",
            f"{point.speedup:.2f}x",
            f"{point.speedup_fastest:.2f}x",
            _over(point),
            f"{point.trainable:,}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _over(point: Point) -> str:
    if point.over_filters is None:
        return ""
    part = f" ({point.compared} of {point.rows})" if point.compared < point.rows else ""
    return f"{point.over_filters:+.1f}{part}"


def cost_table(costs: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a network: what a step of its training takes with so many columns pruned."""
    lines = ["| network | pruned | trained parameters | a step | memory |"]
    lines.append("|---|---:|---:|---:|---:|")
    for title, cost in costs.items():
        pruned = f"{100 * cost['pruned']:g} %" if cost["pruned"] else ""
        lines.append(
            f"| {title} | {pruned} | {cost['trainable']:,} | {cost['step_ms']:.0f} ms "
            f"| {cost['memory_mb']:.0f} MB |"
        )
    return "\n".join(lines)


def caption(rows: Rows) -> str:
    """What the tables were measured on."""
    first = rows[0]
    frames, height, width = first["clip_shape"][1:]
    part = "validation" if first.get("part") == "val" else "test"
    splits = sorted({row["split"] for row in rows})
    seeds = sorted({row["seed"] for row in rows})
    videos = ", ".join(
        f"{next(row['videos'] for row in rows if row['split'] == split)} (split {split})"
        for split in splits
    )
    return (
        f"Video-level top-1 in percent; {part} videos: {videos}; "
        f"seeds {', '.join(map(str, seeds))}; "
        "± is the standard deviation over splits and seeds. Points lost are against the dense "
        "network that trained on just as long. Speedup: of the network deployed at batch 1 over "
        "the dense one in eager PyTorch, and over the form of it that PyTorch runs fastest. Over "
        "filters: points more than filter pruning, deployed too, has in the same time, between the "
        "networks of it that are nearest in time; (n of m) where that is of n networks only, the "
        "others' time being none that filters reach. Clips of "
        f"{frames}x{height}x{width}, {Environment(**first['environment'])}."
    )
