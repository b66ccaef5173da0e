"""What a training step costs: time and memory of each method, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from jsonargparse import ArgumentParser

from benchmarks.once import ROOT
from videowino.cli import run as run_main
from videowino.training.checkpoint import load_classifier

_STEPS = 8
_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


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
    parameters = [p for p in classifier.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-6)
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
    figures["trainable"] = sum(p.numel() for p in parameters)
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
