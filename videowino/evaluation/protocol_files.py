"""Tests by the published protocols as files: every figure, and what is said of each video."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from videowino.evaluation.confusion import Confusion, worst_videos
from videowino.evaluation.environment import describe
from videowino.evaluation.protocol import Tested, summarize

_TOP = 5


def figures(
    tested: Sequence[Tested], last: Sequence[Tested], confusion: Confusion
) -> dict[str, Any]:
    """What is printed, unrounded."""
    return {
        "tested": [one.figures for one in tested],
        "mean": [asdict(one) | {"views": str(one.views)} for one in summarize(tested)],
        "classes": [asdict(one) for one in confusion.per_class()],
        "pairs": [asdict(one) for one in confusion.pairs()],
        "worst_videos": [asdict(one) for one in worst_videos(last, confusion.class_names)],
        "class_names": list(confusion.class_names),
        "confusion": confusion.matrix.tolist(),
        "environment": asdict(describe()),
    }


def write_predictions(tested: Sequence[Tested], names: Sequence[str], path: str) -> None:
    """One row a video and network: the five most probable classes; none for unreadable videos."""
    places = range(1, min(_TOP, len(names)) + 1)
    titles = ["checkpoint", "video", "label"]
    titles += [f"{what}_{place}" for place in places for what in ("predicted", "probability")]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(titles)
        for one in tested:
            for p in one.accuracy.predictions:
                best = p.probabilities.topk(len(places))
                pairs = zip(best.indices.tolist(), best.values.tolist())
                said = [cell for i, value in pairs for cell in (names[i], f"{value:.6g}")]
                said = [""] * (2 * len(places)) if p.unreadable else said
                writer.writerow([one.checkpoint, one.videos[p.video], names[p.label], *said])
