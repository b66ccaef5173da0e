"""Trains the demo in several processes and compares: ``python -m benchmarks.processes``.

The pruned demo (configs/demo_low_rank.yaml, from a dense network of three epochs) trains for so
many steps in 1, 2 and 4 processes on a CPU, with one thread each and batches that make up the same
global batch, batch norms synchronized. Losses are those over all processes' clips. In float64 they
are those of one process; in float32, sums in another order decide between columns of nearly equal
scores otherwise, and the trainings part. Steps are timed in float32, from the end of one to the end
of the next, the first ten left out, in rounds that take turns: of the demo, whose steps are so
short that processes mostly wait for each other, and of the same at four times the width.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table

from benchmarks.results_table import around, write_between
from videowino.cli import require
from videowino.cli import run as run_main
from videowino.environment import describe

_WARM = 10  # steps that are not timed
_HANGS = 1800  # seconds after which a training does
_SECTION = "processes"


def train(out: Path, *args: str, processes: int = 1) -> None:
    """One training by `train.py`, with one thread a process.

    Raises:
        ValueError: it failed.
    """
    command = [sys.executable, "train.py", "fit", *args, "--run", str(out)]
    command += ["--trainer.accelerator", "cpu", "--trainer.devices", str(processes)]
    if processes > 1:
        command += ["--trainer.strategy", "ddp"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = os.environ | {"MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=_HANGS)
    require(done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}")


def pruned(out: Path, processes: int, batch: int, steps: int, *options: str) -> dict[str, Any]:
    """Losses, seconds of a step, and the masks of each process, of one pruned training."""
    record = out / "process"
    train(
        out,
        *("--config", "configs/demo_low_rank.yaml", *options),
        *("--sparsity", "0.75", "--trainer.max_steps", str(steps), "--trainer.max_epochs", "-1"),
        *("--trainer.limit_val_batches", "0", "--data.batch_size", str(batch // processes)),
        *("--data.num_workers", "0", "--trainer.sync_batchnorm", "true"),
        *("--trainer.callbacks+", "benchmarks.processes.record.Record"),
        *("--trainer.callbacks.path", str(record)),
        processes=processes,
    )
    told = [json.loads(Path(f"{record}{rank}.json").read_text()) for rank in range(processes)]
    times = [later - earlier for earlier, later in pairwise(told[0]["times"][_WARM:])]
    return {
        "losses": told[0]["losses"],
        "seconds": statistics.median(times),
        "masks": [of_process["masks"] for of_process in told],
    }


def compare(
    exact: dict[int, dict[str, Any]], timed: dict[str, dict[int, list[dict[str, Any]]]]
) -> list[dict[str, Any]]:
    """A row for each number of processes, the first one process.

    Args:
        exact: trainings in float64, by the number of processes.
        timed: those in float32, by what is trained and the number of processes, several each.
    """
    demo, rows = timed["demo"], []
    for number, run in exact.items():
        others = [other for runs in timed.values() for other in runs[number]]
        row = {
            "processes": number,
            "masks_agree": all(
                masks == of["masks"][0] for of in (run, *others) for masks in of["masks"]
            ),
            "masks_of_one": run["masks"][0] == exact[1]["masks"][0],
            "loss_off": apart(run, exact[1]),
            "loss_off_32": apart(demo[number][0], demo[1][0]),
        }
        for name, runs in timed.items():
            one, seconds = (statistics.median(of["seconds"] for of in runs[n]) for n in (1, number))
            row[f"{name}_ms"] = 1e3 * seconds
            row[f"{name}_efficiency"] = one / seconds / min(number, os.cpu_count() or 1)
        rows.append(row)
    return rows


def apart(run: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of two trainings' losses at a step."""
    return max(abs(a - b) for a, b in zip(run["losses"], other["losses"], strict=True))


_HEADERS = (
    "processes",
    "masks the same in all",
    "and as one process's",
    "loss off by at most, float64",
    "float32",
    "a step",
    "efficiency",
    "a step, four times as wide",
    "efficiency",
)


def cells(row: dict[str, Any]) -> list[str]:
    """A row, to read."""
    yes = {True: "yes", False: "no"}
    return [
        str(row["processes"]),
        yes[row["masks_agree"]],
        yes[row["masks_of_one"]],
        f"{row['loss_off']:.1e}",
        f"{row['loss_off_32']:.1e}",
        f"{row['demo_ms']:.0f} ms",
        f"{100 * row['demo_efficiency']:.0f} %",
        f"{row['wide_ms']:.0f} ms",
        f"{100 * row['wide_efficiency']:.0f} %",
    ]


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.processes", description=__doc__)
    parser.add_argument("--processes", type=list[int], default=[2, 4], help="Beside one.")
    parser.add_argument("--batch", type=int, default=16, help="Of all processes together.")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2, help="Trainings of each, for the times.")
    parser.add_argument("--out", type=Path, default=Path("runs/processes"))
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    parser.add_argument("--docs", type=Path | None, help="Document to write the table into.")
    given = parser.parse_args(args)
    for number in given.processes:
        fits = number > 1 and given.batch % number == 0
        require(fits, f"processes={number}: above 1, and a divisor of batch={given.batch}")
    require(given.steps > _WARM + 1, f"steps={given.steps}: more than {_WARM + 1}")
    if given.docs is not None:
        around(given.docs, _SECTION)
    console = Console(width=150)
    subprocess.run(
        [sys.executable, "datasets/synthetic.py", "--root", "datasets/synthetic"], check=True
    )
    place = _fresh(given.out)
    console.print("dense network, three epochs")
    train(place / "dense", "--config", "configs/demo.yaml", "--trainer.max_epochs", "3")
    weights = place / "dense" / "checkpoints" / "last.ckpt"
    numbers, start = (1, *given.processes), ("--model.weights", str(weights))
    size = given.batch, given.steps
    exact = {
        n: pruned(place / f"{n}-exact", n, *size, *start, "--trainer.precision", "64-true")
        for n in numbers
    }
    kinds = {"demo": start, "wide": ("--model.width", "1.0")}
    timed: dict[str, dict[int, list[dict[str, Any]]]] = {
        name: {number: [] for number in numbers} for name in kinds
    }
    for turn in range(given.rounds):
        for name, options in kinds.items():
            for number in numbers:
                run = pruned(place / f"{name}-{number}-{turn}", number, *size, *options)
                timed[name][number].append(run)
                ms = 1e3 * run["seconds"]
                console.print(f"{name}, {number} processes: {ms:.0f} ms a step")
    rows = compare(exact, timed)
    environment = describe("cpu", threads=1)
    table = Table(*_HEADERS)
    lines = ["| " + " | ".join(_HEADERS) + " |", "|---:|---|---|" + "---:|" * 6]
    for row in rows:
        table.add_row(*cells(row))
        lines.append("| " + " | ".join(cells(row)) + " |")
    console.print(table)
    lines += ["", f"{given.steps} steps, global batch {given.batch}; {environment}."]
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"rows": rows, "environment": asdict(environment)}
        given.json.write_text(json.dumps(content, indent=1) + "\n")
    if given.docs is not None:
        write_between(given.docs, _SECTION, "\n".join(lines))


def _fresh(out: Path) -> Path:
    """A folder in `out` that is not there yet."""
    number = 0
    while (out / str(number)).exists():
        number += 1
    (out / str(number)).mkdir(parents=True)
    return out / str(number)


if __name__ == "__main__":
    run_main(main)
