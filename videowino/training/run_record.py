"""`run.json` of a run folder: by which commands, on what and with which versions it came about."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import videowino
from videowino.environment import describe
from videowino.files import replacing

RECORD = "run.json"


def record_start(folder: Path, args: Sequence[str], seed: int | bool | None, goes_on: bool) -> None:
    """Add a start to a run's record; its first one, unless the run goes on.

    Args:
        folder: the run's, which exists.
        args: of the command line.
        seed: of the random numbers; False for none.
        goes_on: whether starts before this one belong to the run too.
    """
    path = folder / RECORD
    before = json.loads(path.read_text()) if goes_on and path.is_file() else []
    start = {
        "command": shlex.join(["python", *sys.argv[:1], *args]),
        "seed": None if seed is False else seed,
        "commits": commits(Path.cwd(), Path(videowino.__file__).parent),
        **asdict(describe()),
    }
    with replacing(path) as new:
        new.write_text(json.dumps([*before, start], indent=1) + "\n")


def commands_of(folder: Path) -> list[str]:
    """The commands that made a run, in order; [] where there is no record."""
    path = folder / RECORD
    if not path.is_file():
        return []
    try:
        return [str(start["command"]) for start in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError):
        return []  # not ours


def commits(*folders: Path) -> dict[str, str]:
    """Name of each folder's git repository -> its commit, with + where files differ from it.

    Folders that are in none are left out, as all are where there is no git.
    """
    found = {}
    for folder in folders:
        if top := _git(folder, "rev-parse", "--show-toplevel"):
            commit = _git(folder, "rev-parse", "HEAD") or "no commit yet"
            changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
            found[Path(top).name] = commit + ("+" if changed else "")
    return found


def _git(folder: Path, *args: str) -> str:
    command: Any = ["git", "-C", str(folder), *args]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
