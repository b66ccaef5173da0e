"""Trains a study's networks, each by a command that can be run by hand."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from queue import SimpleQueue

import torch

from benchmarks.once import once, stopping
from benchmarks.study.grid import Cell, Study

DENSE = Cell("dense", label="start")  # what all cells of a split and seed begin with


@dataclass(frozen=True)
class Runs:
    """Where a study's runs lie, and the commands that make them.

    Attributes:
        study: what to run.
        out: its folder.
    """

    study: Study
    out: Path

    def folder(self, place: tuple[int, int], cell: Cell) -> Path:
        """Of one run."""
        split, seed = place
        return self.out / f"split{split}-seed{seed}" / cell.name

    def checkpoint(self, place: tuple[int, int], cell: Cell) -> Path:
        """The last one of a run."""
        return self.folder(place, cell) / "checkpoints" / "last.ckpt"

    def command(self, place: tuple[int, int], cell: Cell) -> list[str]:
        """What trains it, or goes on with it."""
        split, seed = place
        command = ["train.py", "fit"]
        for config in self.configs(cell):
            command += ["--config", str(config)]
        if cell != DENSE:
            command += ["--model.weights", str(self.checkpoint(place, DENSE))]
            command += _pruning(cell)
        command += ["--seed_everything", str(seed), "--data.seed", str(seed)]
        command += ["--data.split", str(split)]
        if self.study.root is not None:
            command += ["--data.root", str(self.study.root)]
        for name, value in (*self.study.options, *cell.options):
            command += [f"--{name}", value]
        return [*command, "--run", str(self.folder(place, cell)), "--ckpt_path", "last"]

    def train(self, place: tuple[int, int], cell: Cell, threads: int, env: dict[str, str]) -> None:
        """Train one network, unless that is done."""
        marker = self.folder(place, cell) / "finished"
        command, configs = self.command(place, cell), self.configs(cell)
        once(marker, command, configs=configs, threads=threads, env=env)

    def configs(self, cell: Cell) -> list[Path]:
        """What a network is trained by, one over the other."""
        return [self.study.dense] if cell == DENSE else self.study.configs(cell)


def _pruning(cell: Cell) -> list[str]:
    if cell.method == "dense":
        return []
    if cell.method == "filters":
        return ["--trainer.callbacks.init_args.sparsity", str(cell.sparsity)]
    command = ["--model.winograd.parameterization", cell.method]
    if cell.rank is not None:
        command += ["--model.winograd.rank", str(cell.rank)]
    if cell.tile is not None:
        command += ["--model.winograd.tile", f"[{','.join(map(str, cell.tile))}]"]
    if cell.speedup is not None:
        return [*command, "--speedup", str(cell.speedup)]
    return [*command, "--sparsity", str(cell.sparsity)]


def train_all(runs: Runs, jobs: int, cores: int, done: Callable[[str], object]) -> None:
    """Trains what is not there yet, several at a time.

    With GPUs, each of the jobs has one for itself as long as there are enough.

    Args:
        runs: what to train.
        jobs: trainings at a time.
        cores: that they share.
        done: called with what is done, after each.
    """
    slots: SimpleQueue[dict[str, str]] = SimpleQueue()
    gpus = torch.cuda.device_count()
    for job in range(jobs):
        slots.put({"CUDA_VISIBLE_DEVICES": str(job % gpus)} if gpus else {})

    def train(place: tuple[int, int], cell: Cell) -> None:
        slot = slots.get()
        try:
            runs.train(place, cell, max(1, cores // jobs), slot)
        finally:
            slots.put(slot)
        done(f"split {place[0]}, seed {place[1]}: {cell.name}")

    with ThreadPoolExecutor(jobs) as pool, stopping():
        for cells in ([DENSE], runs.study.cells):  # the dense ones first: all others start there
            places, own = zip(*product(runs.study.places, cells))
            for _ in pool.map(train, places, own):  # which gives up what waits when one fails
                pass
