"""Kills processes of a training at random: ``python -m benchmarks.faults.kills``.

The pruned demo trains in two processes with a loading process each. At random moments one of its
processes gets SIGKILL: the main one, a rank, or a loader. Every other training is torchrun's, which
starts its ranks again by itself; the others are started again here, by the same command. Meanwhile
the run folder is read over and over: from the first checkpoint on there must always be a sound one.
A training that comes to its end must have the masks, and the weights, of one that nobody disturbed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jsonargparse import ArgumentParser
from rich.console import Console

from benchmarks.faults.processes import VICTIMS, end, kill
from videowino.cli import require
from videowino.cli import run as run_main
from videowino.environment import describe
from videowino.training.checkpoint_file import before, fault

_HANGS = 600.0  # seconds that no training takes after its last kill


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        kills: by what was killed.
        trainings: that came to their end.
        starts: of commands.
        looks: at the checkpoints while trainings went on.
        unsound: moments without a sound checkpoint, and why.
        hangs: trainings that had to be killed, as a process of theirs waited for ever.
        masks_off: layers whose masks were not those of the undisturbed training.
        weights_off: the largest difference of a weight.
        seconds: that all of it took.
    """

    kills: dict[str, int] = field(default_factory=dict)
    trainings: int = 0
    starts: int = 0
    looks: int = 0
    unsound: list[str] = field(default_factory=list)
    hangs: int = 0
    masks_off: int = 0
    weights_off: float = 0.0
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.unsound or self.hangs or self.masks_off or self.weights_off)


class Watch(threading.Thread):
    """Reads a run's checkpoints until it is told to stop."""

    def __init__(self, run: Path, outcome: Outcome) -> None:
        super().__init__(daemon=True)
        self.last = run / "checkpoints" / "last.ckpt"
        self.outcome, self.stop = outcome, threading.Event()

    def run(self) -> None:
        """Look, again and again."""
        seen = False
        while not self.stop.wait(0.05):
            seen = seen or self.last.exists()
            if not seen:
                continue
            self.outcome.looks += 1
            why = _unsound(self.last)
            if why and _unsound(before(self.last)):
                self.outcome.unsound.append(why)


def _unsound(file: Path) -> str | None:
    try:
        return fault(file)
    except FileNotFoundError:
        return f"{file} is not there"


def command(run: Path, epochs: int, elastic: bool) -> list[str]:
    """What starts a training in two processes, or goes on with it."""
    launch = [sys.executable]
    if elastic:
        launch += ["-m", "torch.distributed.run", "--nproc_per_node", "2"]
        launch += ["--max-restarts", "1000", "--monitor-interval", "0.2", "--standalone", "--"]
    return [
        *(*launch, "train.py", "fit", "--config", "configs/demo_low_rank.yaml"),
        *("--config", "configs/cluster/torchrun.yaml", "--trainer.sync_batchnorm", "false"),
        *("--sparsity", "0.75", "--trainer.max_epochs", str(epochs)),
        *("--trainer.accelerator", "cpu", "--trainer.devices", "2"),
        *("--trainer.limit_val_batches", "0", "--data.num_workers", "1"),
        *("--checkpoint_every", "5", "--run", str(run), "--ckpt_path", "last"),
    ]


def start(run: Path, epochs: int, elastic: bool, log: Path) -> subprocess.Popen[bytes]:
    """Start a training, in a session of its own."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command(run, epochs, elastic),
            stdout=file,
            stderr=file,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def disturb(
    run: Path, kills: int, epochs: int, elastic: bool, chance: random.Random, outcome: Outcome
) -> None:
    """Train to the end, through as many kills as there are to make before it."""
    watch = Watch(run, outcome)
    watch.start()
    log = run.with_suffix(".log")
    counts = Counter(outcome.kills)
    while True:
        outcome.starts += 1
        process = start(run, epochs, elastic, log)
        while process.poll() is None and counts.total() < kills:
            time.sleep(chance.uniform(1, 18))
            # torchrun's own death orphans its ranks; that is for whoever started it.
            victim = chance.choice(VICTIMS[1:] if elastic else VICTIMS)
            if kill(process.pid, victim, chance):
                counts[victim] += 1
                outcome.kills = dict(counts)
                if not elastic:
                    break
        if not _ended(process):
            outcome.hangs += 1
        if process.returncode == 0:
            break
        _sweep(process)
    watch.stop.set()
    watch.join()
    outcome.trainings += 1


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait for the end of a training, or of the other processes where it has lost one."""
    deadline = time.monotonic() + _HANGS
    while time.monotonic() < deadline:
        if process.poll() is not None and not _session(process.pid):
            return True
        time.sleep(0.1)
    return False


def _session(leader: int) -> list[int]:
    """Processes of a session that are alive."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            number = int(entry.name)
            alive = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            if alive and os.getsid(number) == leader:
                found.append(number)
        except OSError:
            continue
    return found


def _sweep(process: subprocess.Popen[bytes]) -> None:
    end(process.pid)
    for number in _session(process.pid):
        os.kill(number, signal.SIGKILL)
    process.wait()


def compare(run: Path, undisturbed: Path, outcome: Outcome) -> None:
    """Note what is not as in the undisturbed training."""
    found, expected = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (run, undisturbed)
    )
    for name, value in expected.items():
        if name.endswith("column_mask"):
            outcome.masks_off += not torch.equal(found[name], value)
        elif value.is_floating_point():
            off = float((found[name] - value).abs().max())
            outcome.weights_off = max(outcome.weights_off, off)


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.faults.kills", description=__doc__)
    parser.add_argument("--times", type=int, default=50, help="Kills.")
    parser.add_argument("--epochs", type=int, default=10, help="Of each training.")
    parser.add_argument("--seed", type=int, default=0, help="Of moments and victims.")
    parser.add_argument("--out", type=Path, default=Path("runs/kills"))
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    given = parser.parse_args(args)
    require(given.times >= 1, f"times={given.times}: at least 1")
    console, chance, outcome = Console(), random.Random(given.seed), Outcome()
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    render = [sys.executable, "datasets/synthetic.py", "--root", "datasets/synthetic"]
    subprocess.run(render, check=True)
    began = time.monotonic()
    undisturbed = given.out / "undisturbed"
    process = start(undisturbed, given.epochs, False, given.out / "undisturbed.log")
    require(process.wait() == 0, f"the undisturbed training failed: {given.out}/undisturbed.log")
    console.print(f"undisturbed: {time.monotonic() - began:.0f} s")
    while sum(outcome.kills.values()) < given.times:
        run = given.out / f"training{outcome.trainings}"
        disturb(run, given.times, given.epochs, outcome.trainings % 2 == 1, chance, outcome)
        compare(run, undisturbed, outcome)
        console.print(outcome)
    outcome.seconds = time.monotonic() - began
    console.print(f"{describe('cpu', threads=1)}")
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(asdict(outcome) | {"well": outcome.well}, indent=1) + "\n")
    require(outcome.well, f"a training was not as the undisturbed one, see {given.out}")


if __name__ == "__main__":
    run_main(main)
