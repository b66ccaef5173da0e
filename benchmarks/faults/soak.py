"""An hour of training, saving, killing and resuming: ``python -m benchmarks.faults.soak``.

For the first part of the time one pruned training is left alone; then it is ended again and again,
by Ctrl-C, SIGTERM or SIGKILL at random moments, and goes on from its last checkpoint. Memory, open
files and threads of all its processes are noted every second, and after each end what it left: a
sound checkpoint, no step lost that one holds, each step once in metrics.csv, no file forgotten.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.faults.soak_picture import draw
from benchmarks.faults.vitals import Vitals, growth, look
from videowino.cli import require
from videowino.cli import run as run_main
from videowino.environment import describe
from videowino.training.checkpoint_file import fault

_WARM = 120.0  # seconds until a training has seen all of its work once
_EVERY = 5  # steps between checkpoints
_PATIENCE = 120.0  # seconds that no clean stop takes
_MOST_MB, _MOST_HANDLES = 20.0, 0.0  # growth that is none
_ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Life:
    """From a start of the training to its end.

    Attributes:
        first: step that it began with.
        last: step of the checkpoint that it left.
        ended: signal that ended it.
        course: what it held, second by second.
    """

    first: int
    last: int = -1
    ended: str = ""
    course: list[Vitals] = field(default_factory=list)


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        lives: in order, the long one first.
        wrong: what should not have happened.
        files: of the run folder, at the end.
        megabytes: of the run folder, at the end.
        seconds: that all of it took.
    """

    lives: list[Life] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    megabytes: float = 0.0
    seconds: float = 0.0

    def settled(self) -> list[Vitals]:
        """The long life's course behind its warm-up."""
        course = self.lives[0].course
        return [seen for seen in course if seen.seconds > course[0].seconds + _WARM]


def command(run: Path) -> list[str]:
    """What starts the training, or goes on with it."""
    return [
        *(sys.executable, "train.py", "fit", "--config", "configs/demo_low_rank.yaml"),
        *("--config", "configs/faults/soak.yaml", "--checkpoint_every", str(_EVERY)),
        *("--run", str(run), "--ckpt_path", "last"),
    ]


def live(run: Path, seconds: float, end: signal.Signals, since: float, outcome: Outcome) -> None:
    """Train for so long, be ended, and look at what is left."""
    checkpoint = run / "checkpoints" / "last.ckpt"
    life = Life(step_of(checkpoint))
    outcome.lives.append(life)
    name = f"life {len(outcome.lives)}"
    with run.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(command(run), stdout=log, stderr=log)
    began = time.monotonic()
    while process.poll() is None and (
        time.monotonic() - began < seconds or not checkpoint.exists()  # the very first one
    ):
        time.sleep(1)
        if (seen := look(process.pid, since)) is not None:
            life.course.append(seen)
    if process.poll() is None:
        process.send_signal(end)
        life.ended = end.name
    else:
        outcome.wrong.append(f"{name} ended by itself with {process.returncode}")
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        outcome.wrong.append(f"{name} did not end within {_PATIENCE:.0f} s of {end.name}")
        process.kill()
        process.wait()
    expected = -end if end == signal.SIGKILL else 128 + end
    early = end != signal.SIGKILL and process.returncode in (-end, 130)  # before training began
    if process.returncode != expected and not early:
        outcome.wrong.append(f"{name} ended with {process.returncode}, not {expected}")
    if why := fault(checkpoint):
        outcome.wrong.append(f"{name} left a checkpoint that is not sound: {why}")
    life.last = step_of(checkpoint)
    if life.last < life.first:
        outcome.wrong.append(f"{name} went back from step {life.first} to {life.last}")


def step_of(checkpoint: Path) -> int:
    """The optimizer steps that it holds; 0 where there is none."""
    if not checkpoint.exists():
        return 0
    return int(torch.load(checkpoint, weights_only=True)["global_step"])


def check_rows(metrics: Path, outcome: Outcome) -> None:
    """Each training step stands once in metrics.csv, in order, up to the last checkpoint's."""
    with metrics.open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    twice = [step for step, count in Counter(steps).items() if count > 1]
    missing = sorted(set(range(outcome.lives[-1].last)) - set(steps))
    for what, found in (("more than once", twice), ("not at all", missing)):
        if found:
            outcome.wrong.append(f"metrics.csv has {len(found)} steps {what}, as {found[0]}")
    if steps != sorted(steps):
        outcome.wrong.append("metrics.csv is not in the order of steps")


def check_growth(outcome: Outcome) -> None:
    """Neither memory nor open files have grown while the training was left alone."""
    course = outcome.settled()
    if not course:
        outcome.wrong.append("the long life ended before its warm-up did")
        return
    for what, values, most in (
        ("MB", [seen.megabytes for seen in course], _MOST_MB),
        ("open files", [float(seen.handles) for seen in course], _MOST_HANDLES),
        ("threads", [float(seen.threads) for seen in course], _MOST_HANDLES),
    ):
        if growth(values) > most:
            outcome.wrong.append(f"{growth(values):.1f} {what} more at the end of the long life")


def table(outcome: Outcome) -> Table:
    """The figures, for people."""
    course, ends = outcome.settled(), Counter(life.ended for life in outcome.lives)
    made = Table("", "")
    made.add_row("time", f"{outcome.seconds / 60:.0f} minutes")
    made.add_row("steps that the last checkpoint holds", f"{outcome.lives[-1].last:,}")
    made.add_row("ends", ", ".join(f"{count} {name}" for name, count in ends.items()))
    done = sum(life.last - life.first for life in outcome.lives)
    made.add_row("checkpoints written, at least", f"{done // _EVERY:,}")
    if course:
        minutes = (course[-1].seconds - course[0].seconds) / 60
        for what, values in (
            ("memory, MB", [seen.megabytes for seen in course]),
            ("open files", [float(seen.handles) for seen in course]),
            ("threads", [float(seen.threads) for seen in course]),
        ):
            text = f"{values[0]:.0f}, {growth(values):+.1f} after {minutes:.0f} minutes more"
            made.add_row(f"{what}, warmed up", text)
    peaks = [max(v.megabytes for v in life.course) for life in outcome.lives if life.course]
    made.add_row("most memory of a life, MB", f"{min(peaks):.0f} to {max(peaks):.0f}")
    made.add_row("run folder", f"{len(outcome.files)} files, {outcome.megabytes:.1f} MB")
    made.add_row("wrong", "; ".join(outcome.wrong) or "nothing")
    return made


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--alone", type=float, default=0.5, help="Share of it without an end.")
    parser.add_argument("--seed", type=int, default=0, help="Of moments and signals.")
    parser.add_argument("--out", type=Path, default=Path("runs/soak"))
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    parser.add_argument("--png", type=Path | None, help="Where to draw memory and open files.")
    given = parser.parse_args(args)
    require(0 < given.alone < 1, f"alone={given.alone}: between 0 and 1")
    least = (_WARM + 60) / 60 / given.alone
    require(given.minutes >= least, f"minutes={given.minutes}: at least {least:g}, to warm up")
    console, chance, outcome = Console(), random.Random(given.seed), Outcome()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in the background
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    render = [sys.executable, "datasets/synthetic.py", "--root", "datasets/synthetic"]
    subprocess.run(render, check=True)
    run, since = given.out / "training", time.monotonic()
    total = 60 * given.minutes
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(f"left alone for {given.alone * given.minutes:.0f} minutes")
        live(run, given.alone * total, signal.SIGTERM, since, outcome)
        while time.monotonic() - since < total and len(outcome.wrong) < 10:
            end = chance.choice(_ENDS)
            bar.update(task, description=f"life {len(outcome.lives) + 1}, to end by {end.name}")
            live(run, chance.uniform(5, 60), end, since, outcome)
    outcome.seconds = time.monotonic() - since
    check_rows(run / "metrics.csv", outcome)
    check_growth(outcome)
    left = [path for path in run.rglob("*") if path.is_file()]
    outcome.files = sorted(str(path.relative_to(run)) for path in left)
    outcome.megabytes = sum(path.stat().st_size for path in left) / 1e6
    outcome.wrong += [f"{name} was left behind" for name in outcome.files if name.endswith(".new")]
    console.print(table(outcome))
    environment = describe("cpu", threads=os.cpu_count() or 1)
    console.print(f"{environment}")
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        content = asdict(outcome) | {"environment": asdict(environment)}
        given.json.write_text(json.dumps(content) + "\n")
    if given.png is not None:
        draw([life.course for life in outcome.lives], given.png)
        console.print(f"picture: {given.png}")
    require(not outcome.wrong, f"something went wrong, see above and {given.out}")


if __name__ == "__main__":
    run_main(main)
