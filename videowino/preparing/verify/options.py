"""What the command line of `datasets/verify.py` says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser

from videowino.cli import explain, option_names, require
from videowino.preparing.verify.layout import DATASETS


@dataclass(frozen=True)
class Options:
    """What to verify, and how; the help texts below say what each is.

    Raises:
        ValueError: an argument out of its range.
    """

    root: str
    jobs: int = 0
    csv: str | None = None
    dataset: str | None = None
    min_frames: int = 16
    timeout: float = 60.0
    show: int = 20
    fix: bool = False
    fresh: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        known = ", ".join(DATASETS)
        require(self.dataset in (None, *DATASETS), f"dataset={self.dataset!r}: one of {known}")
        require(self.jobs >= 0, f"jobs={self.jobs}: at least 1, or 0 for one a core")
        require(self.min_frames >= 1, f"min_frames={self.min_frames}: at least 1")
        require(self.timeout > 0, f"timeout={self.timeout:g}: more than 0 seconds")
        require(self.show >= 0, f"show={self.show}: 0 (all) or more")

    @property
    def table_file(self) -> Path:
        """Where the CSV goes."""
        return Path(self.csv) if self.csv else Path(self.root) / "verify.csv"

    @property
    def processes(self) -> int:
        """`jobs`, or one a core that this process may use."""
        if self.jobs:
            return self.jobs
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1


def parse(args: list[str] | None, description: str | None) -> Options:
    """The options in `args`, that of the process if None.

    Raises:
        ValueError: an unknown option, or a value that it cannot have.
    """
    parser = ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False)
    add = parser.add_argument
    add("--root", type=str, required=True, help="the set's folder")
    add("--jobs", type=int, default=0, help="processes that decode; 0: one a core")
    add("--csv", type=str, default=None, help="where the list goes (default: ROOT/verify.csv)")
    add("--dataset", type=str, help=f"{', '.join(DATASETS)} (default: what its lists are)")
    add("--min-frames", type=int, default=16, help="with fewer frames a video is short")
    add("--timeout", type=float, default=60.0, help="seconds without a new frame that are a hang")
    add("--show", type=int, default=20, help="rows of each kind in the table; 0: all")
    add("--fix", action="store_true", help="mend what can be; originals stay in ROOT/.originals")
    add("--fresh", action="store_true", help="decode again what earlier runs have decoded")
    add("--strict", action="store_true", help="exit with 1 for warnings too")
    try:
        return Options(**parser.parse_args(args).as_dict())
    except ArgumentError as error:
        raise ValueError(explain(str(error), option_names(parser))) from error
