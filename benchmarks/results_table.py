"""The table of `benchmarks.results`: accuracy of each network, a column a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from videowino.environment import Environment
from videowino.evaluation.spread import spread_of


@dataclass(frozen=True)
class Run:
    """A network that is trained on each split; `sparsity` None is the dense one."""

    folder: str
    title: str
    sparsity: float | None = None
    parameterization: str = "low_rank"


DENSE = Run("dense", "dense")
LOW_RANK = [
    Run("half", "half the columns", 0.5),
    Run("quarter", "a quarter of the columns", 0.75),
]
VANILLA = [
    Run("vanilla_half", "vanilla, half the columns", 0.5, "vanilla"),
    Run("vanilla_quarter", "vanilla, a quarter of the columns", 0.75, "vanilla"),
]


def collect(figures: Mapping[int, dict[str, Any]], runs: Sequence[Run]) -> dict[str, Any]:
    """Run -> measure -> {split: figure}, from the files of `compare`; accuracies in percent."""
    collected: dict[str, Any] = {}
    for run in runs:
        rows = {
            s: next(r for r in f["rows"] if r["name"] == run.folder) for s, f in figures.items()
        }
        collected[run.folder] = {
            "video_top1": {s: row["accuracy"]["video_top1"] for s, row in rows.items()},
            "clip_top1": {s: row["accuracy"]["clip_top1"] for s, row in rows.items()},
            "trainable": {s: row["trainable"] for s, row in rows.items()},
            "fewer": {
                s: row["multiplications_dense"] / row["multiplications"] for s, row in rows.items()
            },
            "speedup": {s: row["speed"][0]["speedup"] for s, row in rows.items()},
        }
    return collected


def table(collected: Mapping[str, Any], groups: Sequence[Sequence[int]], runs: list[Run]) -> str:
    """The markdown table of a study: a row a network; means are within each group of splits."""
    head = ["network"]
    for group in groups:
        head += [f"split {split}" for split in group]
        head += [f"mean of {named(group)}"] if len(group) > 1 else []
    head += [f"clip-level, {named(group)}" for group in groups]
    head += [f"points lost, {named(group)}" for group in groups]
    head += ["trained parameters", "multiplications", "measured speedup"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for run in runs:
        row, dense = collected[run.folder], run.sparsity is None
        cells = [run.title]
        for group in groups:
            video = [row["video_top1"][split] for split in group]
            cells += [f"{value:.1f}" for value in video]
            cells += [f"**{spread_of(video)}**"] if len(group) > 1 else []
        cells += [str(spread_of([row["clip_top1"][split] for split in group])) for group in groups]
        for group in groups:
            lost = [
                collected[DENSE.folder]["video_top1"][split] - row["video_top1"][split]
                for split in group
            ]
            cells.append("" if dense else f"{mean(lost):.1f}")
        cells.append(f"{next(iter(row['trainable'].values())):,}")
        cells.append("" if dense else f"{mean(row['fewer'].values()):.2f}x fewer")
        cells.append("" if dense else f"{median(row['speedup'].values()):.2f}x")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def caption(figures: Mapping[int, dict[str, Any]]) -> str:
    """What the table was measured on."""
    first = next(iter(figures.values()))
    data, machine = first["data"], Environment(**first["environment"])
    videos = ", ".join(f"{f['data']['videos']} (split {s})" for s, f in figures.items())
    channels, frames, height, width = data["clip_shape"]
    return (
        f"Top-1 in percent, video-level where nothing else is said: {data['views']} views a "
        f"video, probabilities averaged. Chance is {100 / data['num_classes']:.1f}. Test videos: "
        f"{videos}. ± is the standard deviation over splits. Clips of {frames}x{height}x{width}. "
        "Speedup: dense over pruned, median over splits of medians at batch "
        f"{first['rows'][0]['speed'][0]['batch_size']}, {machine}, "
        f"Winograd layers by: {machine.winograd}."
    )


def write_between(path: Path, name: str, text: str) -> None:
    """Put text between the marks `<!-- name -->` and `<!-- /name -->` of a document.

    Raises:
        ValueError: the document has no such marks.
    """
    before, after = around(path, name)
    path.write_text(f"{before}\n\n{text}\n\n{after}")


def around(path: Path, name: str) -> tuple[str, str]:
    """What stands before and after the place of `write_between`, marks included.

    Raises:
        ValueError: the document has no such marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"docs={path}: has no place for {name}; put {begin} and {end} into it")
    return before + begin, end + after


def named(group: Sequence[int]) -> str:
    """Splits in words."""
    consecutive = len(group) > 2 and list(group) == list(range(group[0], group[-1] + 1))
    if consecutive:
        return f"{group[0]}-{group[-1]}"
    return ", ".join(map(str, group)) if len(group) > 1 else f"split {group[0]}"
