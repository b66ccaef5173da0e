"""Means and spreads of a study's rows, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.study.grid import IN_PYTORCH
from benchmarks.study.training import DENSE
from videowino.evaluation.spread import Spread, spread_of

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Point:
    """One cell over all splits and seeds.

    Attributes:
        cell: as in the rows.
        accuracy: video-level top-1 in percent.
        lost: points less than the dense network that trained on just as long; that of the same
            split and seed.
        speedup: deployed over the dense network in eager PyTorch.
        speedup_fastest: mean, over the dense network in PyTorch's fastest form.
        over_filters: points more than filter pruning has in the same time (`filters_at`), both
            deployed, of those rows that are between the slowest and the fastest of their split and
            seed; None where there are none.
        compared: how many rows those are.
        trainable: parameters.
        columns_kept: mean share.
        rows: how many.
    """

    cell: Mapping[str, Any]
    accuracy: Spread
    lost: Spread
    speedup: Spread
    speedup_fastest: float
    over_filters: Spread | None
    compared: int
    trainable: int
    columns_kept: float
    rows: int


def points(rows: Rows) -> list[Point]:
    """One a cell, in the order of the rows; without those that all others start from."""
    reference = {_place(row): row for row in rows if row["cell"]["name"] == "dense"}
    names = list(dict.fromkeys(row["cell"]["name"] for row in rows))
    found = []
    for name in names:
        if name == DENSE.name:
            continue
        own = [row for row in rows if row["cell"]["name"] == name]
        lost = [reference[_place(row)]["video_top1"] - row["video_top1"] for row in own]
        over = [more for row in own if (more := _over_filters(row, rows)) is not None]
        found.append(
            Point(
                cell=own[0]["cell"],
                accuracy=spread_of([row["video_top1"] for row in own]),
                lost=spread_of(lost),
                speedup=spread_of([row["speedup"] for row in own]),
                speedup_fastest=mean(row["speedup_fastest"] for row in own),
                over_filters=spread_of(over) if over else None,
                compared=len(over),
                trainable=own[0]["trainable"],
                columns_kept=mean(row["columns_kept"] for row in own),
                rows=len(own),
            )
        )
    return found


def filters_at(ms: float, rows: Rows) -> float | None:
    """Accuracy of filter pruning in a time, between the networks that were measured.

    Args:
        ms: the time of a deployed network.
        rows: of one split and seed. The dense network is the one with no filter pruned.

    Returns:
        the accuracy on the straight line between the two of the nearest times; None where there is
        none slower or none faster.
    """
    known = sorted(
        (row["ms"], row["video_top1"])
        for row in rows
        if row["cell"]["name"] == "dense"
        or (row["cell"]["method"] == "filters" and IN_PYTORCH not in row["cell"]["label"])
    )
    times, accuracies = zip(*known)
    if not times[0] <= ms <= times[-1]:
        return None
    return float(np.interp(ms, times, accuracies))


def _over_filters(row: Mapping[str, Any], rows: Rows) -> float | None:
    if row["cell"]["method"] in ("dense", "filters"):
        return None
    there = filters_at(row["ms"], [other for other in rows if _place(other) == _place(row)])
    return None if there is None else row["video_top1"] - there


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["split"], row["seed"]
