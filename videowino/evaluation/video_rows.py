"""What is said of each test video: the worst of them, and all of them as a CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from videowino.data import Video
from videowino.evaluation.accuracy import TOP, Prediction
from videowino.files import replacing

_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class VideoRow:
    """One test video.

    Attributes:
        network: that was tested.
        split: that it was tested on; None where the data have none.
        path: the file.
        label: name of its class.
        predicted: name of the class that it is put in; None where it cannot be read.
        top: names of the most probable classes, best first, up to five.
        probability: of its own class.
        loss: cross entropy of the averaged probabilities, -log of that; None where unreadable.
        probabilities: of all classes.
    """

    network: str
    split: int | None
    path: str
    label: str
    predicted: str | None
    top: tuple[str, ...]
    probability: float | None
    loss: float | None
    probabilities: tuple[float, ...]


def video_rows(
    predictions: Sequence[Prediction],
    videos: Sequence[Video],
    names: Sequence[str],
    network: str,
    split: int | None,
) -> list[VideoRow]:
    """A row a video, in the order of the list.

    Args:
        predictions: one a video.
        videos: the test list.
        names: of the classes.
        network: that was tested.
        split: that it was tested on.
    """
    rows = []
    for p in predictions:
        path, label = str(videos[p.video].path), names[p.label]
        if p.unreadable:
            rows.append(VideoRow(network, split, path, label, None, (), None, None, ()))
            continue
        probability = float(p.probabilities[p.label])
        rows.append(
            VideoRow(
                network=network,
                split=split,
                path=path,
                label=label,
                predicted=names[p.predicted],
                top=tuple(names[at] for at in p.best),
                probability=probability,
                loss=-math.log(max(probability, _TINY)),
                probabilities=tuple(p.probabilities.tolist()),
            )
        )
    return rows


def worst(rows: Sequence[VideoRow]) -> list[VideoRow]:
    """Those that are put in a wrong class, the highest loss first; unreadable ones left out."""
    wrong = [row for row in rows if row.loss is not None and row.predicted != row.label]
    return sorted(wrong, key=lambda row: (-(row.loss or 0.0), row.path))


def write_csv(rows: Sequence[VideoRow], names: Sequence[str], path: str | Path) -> None:
    """Write every row; the columns behind the fixed ones are the classes' probabilities.

    What there is not (of unreadable videos) is left empty. Numbers are written in full, so that
    what reads them finds the same classes.

    Args:
        rows: of `video_rows`.
        names: of the classes, in label order.
        path: the file.
    """
    tops = [f"top{place}" for place in range(1, min(TOP, len(names)) + 1)]
    header = ["network", "split", "path", "label", "predicted", "loss", *tops]
    with replacing(Path(path)) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*header, *(f"p({name})" for name in names)])
        for row in rows:
            fixed = [row.network, row.split, row.path, row.label, row.predicted, row.loss]
            best = [*row.top, *[None] * (len(tops) - len(row.top))]
            values = row.probabilities or [None] * len(names)
            writer.writerow(["" if v is None else v for v in [*fixed, *best, *values]])
