"""The processes of a training, as the system shows them."""

from __future__ import annotations

import random
from typing import Literal

import psutil

Victim = Literal["main", "rank", "worker"]
VICTIMS: tuple[Victim, ...] = ("main", "rank", "worker")


def parts(root: int) -> dict[Victim, list[psutil.Process]]:
    """Those below a training's first process, by what they are: it itself, ranks and loaders.

    Args:
        root: its number.
    """
    try:
        main = psutil.Process(root)
        children = main.children(recursive=True)
        trainings = [p for p in children if "train.py" in " ".join(p.cmdline())]
    except psutil.NoSuchProcess:
        return {"main": [], "rank": [], "worker": []}
    # Loaders are forks: they have the command line of the rank that they load for.
    ranks = [p for p in trainings if not _is_loader(p)]
    return {"main": [main], "rank": ranks, "worker": [p for p in trainings if _is_loader(p)]}


def _is_loader(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        return parent is not None and parent.cmdline() == process.cmdline()
    except psutil.NoSuchProcess:
        return False


def kill(root: int, victim: Victim, chance: random.Random) -> bool:
    """SIGKILL one of them; False where there is none."""
    found = parts(root)[victim]
    if not found:
        return False
    try:
        chance.choice(found).kill()
    except psutil.NoSuchProcess:
        return False
    return True


def end(root: int) -> None:
    """SIGKILL what is left of a training."""
    found = parts(root)
    for process in [*found["worker"], *found["rank"], *found["main"]]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
