"""One view against ten, and what is taken for what: the second table of `benchmarks.results`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results_table import DENSE, Run, named
from videowino.evaluation.spread import Spread

#: The centre crop of the middle clip; ten clips spread over the video, centre crops.
VIEWS = "1x1,10x1"
_PAIRS = 5


def views_table(found: Mapping[str, Any], group: Sequence[int], runs: Sequence[Run]) -> str:
    """The markdown table: a row a network, a column a protocol; means over the splits."""
    protocols = [row["views"] for row in found[DENSE.folder]["mean"]]
    head = ["network", *(f"{views}, {named(group)}" for views in protocols)]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * len(protocols) + "|"]
    for run in runs:
        means = {row["views"]: row["video_top1"] for row in found[run.folder]["mean"]}
        cells = [run.title, *(str(Spread(**means[views])) for views in protocols)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def confusion_lines(found: Mapping[str, Any], group: Sequence[int], picture: Path) -> str:
    """What the table is, the picture, and the most frequent confusions of the dense networks."""
    dense = found[DENSE.folder]
    pairs = [
        f"{pair['truth']} for {pair['taken_for']} ({pair['videos']}, {pair['share']:.0f} %)"
        for pair in dense["pairs"][:_PAIRS]
    ]
    videos = sum(row["videos"] for row in dense["classes"])
    most = f" Most often taken: {', '.join(pairs)}." if pairs else ""
    return (
        "Video-level top-1 in percent by clips x crops: the centre crop of one clip, and of ten "
        "spread over the video, probabilities averaged.\n\n"
        f"![Confusion matrix]({picture.as_posix()})\n\n"
        f"Dense, {_splits(group)}, {videos} test videos, ten views: rows are what videos show, "
        f"columns what they are taken for.{most}"
    )


def _splits(group: Sequence[int]) -> str:
    return f"splits {named(group)}" if len(group) > 1 else named(group)


def copy_picture(picture: Path, docs: Path, name: str, number: int) -> Path:
    """Put a picture beside the document; its path from there."""
    place = Path("images") / f"confusion_{name}{f'_{number + 1}' if number else ''}.png"
    (docs.parent / place).parent.mkdir(exist_ok=True)
    shutil.copyfile(picture, docs.parent / place)
    return place
