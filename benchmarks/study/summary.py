"""Means and spreads of a study's rows, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

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
                trainable=own[0]["trainable"],
                columns_kept=mean(row["columns_kept"] for row in own),
                rows=len(own),
            )
        )
    return found


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["split"], row["seed"]


def _spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0
