"""What the processes of a training hold: memory, open files, threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import psutil


@dataclass(frozen=True)
class Vitals:
    """At one moment, of a process and all below it.

    Attributes:
        seconds: since the clock's start.
        megabytes: that would be free without them: memory shared with others counts once.
        handles: open files, sockets and pipes.
        threads: of all of them.
        processes: how many there are.
    """

    seconds: float
    megabytes: float
    handles: int
    threads: int
    processes: int


def look(root: int, since: float) -> Vitals | None:
    """Now; None where a process has just ended.

    Args:
        root: number of the first process.
        since: `time.monotonic()` at the clock's start.
    """
    try:
        first = psutil.Process(root)
        family = [first, *first.children(recursive=True)]
        memory = sum(p.memory_full_info().pss for p in family) / 1e6
        handles, threads = sum(p.num_fds() for p in family), sum(p.num_threads() for p in family)
    except psutil.Error:
        return None
    return Vitals(time.monotonic() - since, memory, handles, threads, len(family))


def growth(course: Sequence[float]) -> float:
    """From the first quarter of a course to the last, of their medians."""
    quarter = max(1, len(course) // 4)
    return median(course[-quarter:]) - median(course[:quarter])
