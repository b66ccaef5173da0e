"""What `train.py predict` tells of each video."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

import torch.distributed
from torch import Tensor

from videowino.data import VideoDataModule

COLUMNS = ("video", "label", "predicted", "probability")


def of_all_processes(
    batches: Sequence[Mapping[str, Tensor]] | None,
) -> list[Mapping[str, Tensor]]:
    """The batches that all processes predicted, the same list in each.

    Args:
        batches: what `Trainer.predict` returned in this process.

    Raises:
        ValueError: it returned nothing, as with processes that it started itself and has ended.
    """
    if batches is None:
        raise ValueError(
            "trainer.strategy: no predictions came back from its processes; use ddp, or one device"
        )
    if not torch.distributed.is_initialized():
        return list(batches)
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, list(batches))
    return [batch for part in parts for batch in part]


def prediction_rows(
    batches: Sequence[Mapping[str, Tensor]], data: VideoDataModule
) -> list[dict[str, Any]]:
    """One row a video: its file, its class, the most probable class and that one's probability.

    The last two are empty for videos that cannot be read.

    Args:
        batches: what `VideoClassifier.predict_step` returned, in any order; a video that is in two
            of them, as other samplers may have it, is one row.
        data: names the videos and classes.
    """
    videos, names = data.videos("predict"), data.class_names
    rows: dict[int, dict[str, Any]] = {}
    for batch in batches:
        best = batch["probabilities"].max(dim=1)
        for video, label, probability, predicted in zip(
            batch["video"].tolist(), batch["label"].tolist(), best.values.tolist(), best.indices
        ):
            read = not math.isnan(probability)
            said = (names[predicted], round(probability, 4)) if read else ("", "")
            values = (videos[video].path, names[label], *said)
            rows[video] = dict(zip(COLUMNS, values))
    return [rows[video] for video in sorted(rows)]


def write_csv(rows: Iterable[Mapping[str, Any]], file: IO[str]) -> None:
    """Rows of `prediction_rows` with a header."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
