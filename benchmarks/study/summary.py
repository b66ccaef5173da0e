"""Means and spreads of a study's rows, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np

from benchmarks.study.grid import IN_PYTORCH
from benchmarks.study.training import DENSE

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Point:
    """One cell over all splits and seeds.

    Attributes:
        cell: as in the rows.
        accuracy: mean video-level top-1 in percent.
        spread: its sample standard deviation; 0 for a single row.
        lost: mean points less than the dense network that trained on just as long; that of the
            same split and seed.
        lost_spread: its sample standard deviation.
        speedup: mean, deployed over the dense network in eager PyTorch.
        speedup_spread: its sample standard deviation.
        speedup_fastest: mean, over the dense network in PyTorch's fastest form.
        over_filters: mean points more than filter pruning has in the same time (`filters_at`),
            both deployed; None where filters are not measured, or no network of a split and seed is
            between the slowest and the fastest of theirs.
        over_filters_spread: its sample standard deviation.
        trainable: parameters.
        columns_kept: mean share.
        rows: how many.
    """

    cell: Mapping[str, Any]
    accuracy: float
    spread: float
    lost: float
    lost_spread: float
    speedup: float
    speedup_spread: float
    speedup_fastest: float
    over_filters: float | None
    over_filters_spread: float
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
        accuracy = [row["video_top1"] for row in own]
        speedup = [row["speedup"] for row in own]
        over = [more for row in own if (more := _over_filters(row, rows)) is not None]
        found.append(
            Point(
                cell=own[0]["cell"],
                accuracy=mean(accuracy),
                spread=_spread(accuracy),
                lost=mean(lost),
                lost_spread=_spread(lost),
                speedup=mean(speedup),
                speedup_spread=_spread(speedup),
                speedup_fastest=mean(row["speedup_fastest"] for row in own),
                over_filters=mean(over) if over else None,
                over_filters_spread=_spread(over),
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


def _spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0
