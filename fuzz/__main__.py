"""Reads files that are changed at random: ``python -m fuzz``.

A process for itself reads them; if it dies, the file that it was at is a finding, and another goes
on. A file may be read or refused with an error of one of the kinds that users get; any other error,
more than ten seconds, and a gigabyte of memory are findings. They are kept, and the exit code is 1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table

from fuzz.readers import READERS
from videowino.cli import require
from videowino.cli import run as run_main
from videowino.environment import describe


def fuzz(name: str, files: int, seed: int, out: Path, engine: str) -> dict[str, Any]:
    """Has so many files read.

    Args:
        name: of the reader.
        files: as many, in all.
        seed: of the changes.
        out: folder for findings.
        engine: "atheris", or "random".
    """
    place = out / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    began, deaths, first = time.monotonic(), 0, 0
    while first < files:
        command = [sys.executable, "-m", "fuzz.worker", name]
        command += [str(part) for part in (first, files, seed + deaths, place, engine)]
        with (place / "log").open("ab") as log:
            env = os.environ | {"OMP_NUM_THREADS": "1"}
            code = subprocess.run(command, stdout=log, stderr=log, env=env).returncode
        told = _told(place)
        require(bool(told), f"reader={name}: no file was read, see {place / 'log'}")
        first = told[-1][0] + 1
        if first >= files or (code == 0 and engine == "atheris"):
            break
        deaths += 1
        at = int((place / "at").read_text())
        if at >= first:
            changed = place / f"file{READERS[name].suffix}"
            shutil.copy(changed, place / f"finding{at}{changed.suffix}")
            (place / f"finding{at}.txt").write_text(f"the process ended with {code}")
            with (place / "told").open("a") as file:
                print(json.dumps([at, "finding", 0.0]), file=file)
            first = at + 1
    told = _told(place)
    counts = Counter(outcome for _, outcome, _ in told)
    return {
        "reader": name,
        "engine": engine,
        "files": len(told),
        "read": counts["read"],
        "refused": counts["refused"],
        "findings": counts["finding"],
        "slowest": max(seconds for *_, seconds in told),
        "seconds": time.monotonic() - began,
    }


def _told(place: Path) -> list[tuple[int, str, float]]:
    file = place / "told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("readers", nargs="*", help=f"Of {', '.join(READERS)}; all if not given.")
    parser.add_argument("--files", type=int, default=10_000, help="For each reader.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", type=Literal["atheris", "random"], default="random")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="For findings.")
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    given = parser.parse_args(args)
    for name in given.readers:
        known = ", ".join(READERS)
        require(name in READERS, f"readers={name}: unknown; choose from {known}")
    require(given.files >= 1, f"files={given.files}: at least 1")
    console, rows = Console(), []
    if "configs" in (given.readers or READERS):  # which are of these clips
        render = [sys.executable, "datasets/synthetic.py", "--root", "datasets/synthetic"]
        subprocess.run(render, check=True)
    table = Table("reader", "files", "read", "refused", "findings", "slowest", "minutes")
    for name in given.readers or READERS:
        row = fuzz(name, given.files, given.seed, given.out, given.engine)
        rows.append(row)
        slowest, minutes = f"{row['slowest']:.2f} s", f"{row['seconds'] / 60:.1f}"
        figures = [str(row[key]) for key in ("files", "read", "refused", "findings")]
        table.add_row(name, *figures, slowest, minutes)
    console.print(table)
    environment = str(describe("cpu"))
    console.print(environment)
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"rows": rows, "environment": environment}
        given.json.write_text(json.dumps(content, indent=1) + "\n")
    found = sum(row["findings"] for row in rows)
    require(found == 0, f"{found} findings, kept in {given.out}")


if __name__ == "__main__":
    run_main(main)
