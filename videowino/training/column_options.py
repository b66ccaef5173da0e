"""What `ColumnSparsity` is asked for, and what of it is refused."""

from __future__ import annotations

from typing import Literal, get_args

from videowino.cli import require
from videowino.winograd.blocks import Granularity
from videowino.winograd.scores import Score

Schedule = Literal["cubic", "one_shot", "regrow"]
Budget = Literal["uniform", "global", "time"]
Unit = Literal["fraction", "epoch", "step"]

_SPARSITY = 0.5


def chosen(
    sparsity: float | None, speedup: float | None, budget: Budget | None
) -> tuple[float, Budget]:
    """Sparsity and budget, where they are left open.

    Raises:
        ValueError: two of the three do not go together.
    """
    require(
        sparsity is None or speedup is None,
        f"sparsity={sparsity} and speedup={speedup}: give one of them",
    )
    require(
        speedup is None or budget in (None, "time"),
        f"speedup={speedup} with budget={budget!r}: columns go by time then; leave budget out",
    )
    sparsity = _SPARSITY if sparsity is None else sparsity
    return sparsity, budget or ("uniform" if speedup is None else "time")


def check_options(
    *,
    sparsity: float,
    speedup: float | None,
    score: Score,
    budget: Budget,
    schedule: Schedule,
    start: float,
    end: float,
    unit: Unit,
    every: int,
    momentum: float,
    regrow: float,
    granularity: Granularity,
) -> None:
    """Refuse what no training can follow; arguments as of `ColumnSparsity`.

    Raises:
        ValueError: one is out of range, two do not go together, or the schedule ends before it
            starts.
    """
    require(0 <= sparsity < 1, f"sparsity={sparsity}: from 0 to below 1")
    require(speedup is None or speedup > 0, f"speedup={speedup}: above 0")
    require(0 <= regrow <= 1, f"regrow={regrow}: a share, from 0 to 1")
    for name, value, choices in (
        ("score", score, Score),
        ("budget", budget, Budget),
        ("schedule", schedule, Schedule),
        ("unit", unit, Unit),
        ("granularity", granularity, Granularity),
    ):
        known = get_args(choices)
        require(value in known, f"{name}={value!r}: one of {', '.join(known)}")
    require(start >= 0, f"start={start}: 0 or more")
    require(
        schedule == "one_shot" or end >= start,
        f"end={end}: the schedule ends before it starts (start={start})",
    )
    last = start if schedule == "one_shot" else end
    require(
        unit != "fraction" or last <= 1,
        f"{'start' if schedule == 'one_shot' else 'end'}={last}: a fraction of the training is "
        "at most 1; set unit to epoch or step for absolute times",
    )
    require(every >= 1, f"every={every}: at least 1")
    require(0 <= momentum < 1, f"momentum={momentum}: from 0 to below 1")
    require(
        schedule != "regrow" or score == "taylor",
        f"schedule='regrow' with score={score!r}: what would come back is measured as taylor "
        "is; use that",
    )
    require(
        granularity == "column" or budget != "time",
        f"granularity='block' with {'budget' if speedup is None else 'speedup'}="
        f"{budget if speedup is None else speedup!r}: times are measured of whole columns; use "
        "budget uniform or global with a sparsity, or granularity column",
    )
    require(
        granularity == "column" or schedule != "regrow",
        "granularity='block' with schedule='regrow': whole columns are what comes back; use "
        "cubic or one_shot, or granularity column",
    )
