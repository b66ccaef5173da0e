"""What `train.py predict` tells of each video."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from torch import Tensor

from videowino.data import VideoDataModule

COLUMNS = ("video", "label", "predicted", "probability")


def prediction_rows(
    batches: Sequence[Mapping[str, Tensor]], data: VideoDataModule
) -> list[dict[str, Any]]:
    """One row a video: its file, its class, the most probable class and that one's probability.

    The last two are empty for videos that cannot be read.

    Args:
        batches: what `VideoClassifier.predict_step` returned.
        data: names the videos and classes.
    """
    videos, names = data.videos("predict"), data.class_names
    rows = []
    for batch in batches:
        best = batch["probabilities"].max(dim=1)
        for video, label, probability, predicted in zip(
            batch["video"].tolist(), batch["label"].tolist(), best.values.tolist(), best.indices
        ):
            read = not math.isnan(probability)
            said = (names[predicted], round(probability, 4)) if read else ("", "")
            values = (videos[video].path, names[label], *said)
            rows.append(dict(zip(COLUMNS, values)))
    return rows


def write_csv(rows: Iterable[Mapping[str, Any]], file: IO[str]) -> None:
    """Rows of `prediction_rows` with a header."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
