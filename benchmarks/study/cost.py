"""What a training step costs: time and memory of each method, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, mode
from typing import Any

import torch
from jsonargparse import ArgumentParser

from benchmarks.once import ROOT
from benchmarks.study.grid import Cell
from videowino.cli import run as run_main
from videowino.training.checkpoint import load_classifier
from videowino.training.optimizers import optimizer_for

_STEPS = 8
_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def compared(cells: Sequence[Cell]) -> list[Cell]:
    """One of each title, for what a training step takes: as far as there are, of one sparsity.

    That is the most frequent one, since columns that are gone take no time in training either.
    """
    own = [cell for cell in cells if cell.method != "filters" and not cell.label]
    shares = [c.sparsity for c in own if c.method != "dense" and c.speedup is None]
    usual = mode(shares) if shares else 0.0
    chosen: dict[str, Cell] = {}
    for cell in sorted(own, key=lambda c: (c.speedup is not None, abs(c.sparsity - usual))):
        chosen.setdefault(cell.title, cell)
    return [chosen[title] for title in dict.fromkeys(cell.title for cell in own)]


def training_cost(checkpoint: Path, batch_size: int, clip_shape: list[int]) -> dict[str, Any]:
    """Of the network of a checkpoint, on random clips, in a fresh process.

    Returns:
        "step_ms", the median of a step, and "memory_mb", by how much the process grows over what
        it is with the network loaded.
    """
    command = [sys.executable, "-m", "benchmarks.study.cost", "--checkpoint", str(checkpoint)]
    command += ["--batch_size", str(batch_size), "--clip_shape", json.dumps(clip_shape)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"measuring a step of {checkpoint} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(args: list[str] | None = None) -> None:
    """Measures in this process."""
    parser = ArgumentParser(prog="benchmarks.study.cost", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--clip_shape", type=list[int], required=True)
    given = parser.parse_args(args)
    classifier = load_classifier(given.checkpoint).train()
    optimizer = optimizer_for(classifier.model, classifier.hparams)
    for group in optimizer.param_groups:
        group["lr"] = 1e-6  # noise is nothing to learn
    clip = torch.randn(given.batch_size, *given.clip_shape)
    label = torch.arange(given.batch_size) % int(classifier.hparams["num_classes"])
    forget_peak()
    before = peak_mb()
    times = []
    for _ in range(_STEPS):
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(classifier(clip), label).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    figures = {"step_ms": 1e3 * median(times[2:]), "memory_mb": peak_mb() - before}
    figures["trainable"] = sum(p.numel() for p in classifier.parameters() if p.requires_grad)
    print(json.dumps(figures))


def forget_peak() -> None:
    """The highest memory so far becomes the present one (proc(5), clear_refs).

    Raises:
        ValueError: no Linux, whose files tell and forget it.
    """
    try:
        _CLEAR.write_text("5")
    except OSError as error:
        raise ValueError(f"{_CLEAR}: training memory is measured on Linux ({error})") from None


def peak_mb() -> float:
    """The highest resident memory of this process since then, in MB."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    run_main(main)
