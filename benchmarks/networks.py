"""Whole networks with swapped and pruned convolutions: ``python -m benchmarks.networks``.

Untrained networks of full size, one clip of their usual size at a time, channels last, in turns:
dense in the fastest form PyTorch has for it, and the same network with Winograd layers, all columns
and with half and a quarter of them, everything else as it was. What else a deployed network can
gain (folding, fusing) is not in it.
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.layers import NETWORKS
from videowino import convert, create_model, prune
from videowino.cli import run as run_main
from videowino.evaluation.environment import describe
from videowino.fastest import in_fastest_form
from videowino.timing import time_models

SPARSITY = {"all columns": 0.0, "half": 0.5, "a quarter": 0.75}


def measure(name: str, batch: int, threads: int, budget: float) -> dict[str, float]:
    """Milliseconds a clip, by network."""
    torch.manual_seed(0)
    clips = torch.randn(batch, 3, *NETWORKS[name])
    model = create_model(name, 101).eval()
    dense, form = in_fastest_form(model, clips, threads=threads)
    networks: dict[str, nn.Module] = {f"dense ({form})": dense}
    for title, sparsity in SPARSITY.items():
        swapped = deepcopy(model)
        convert(swapped, parameterization="spatial")
        if sparsity:
            prune(swapped, sparsity)
        networks[title] = swapped.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    last = clips.to(memory_format=torch.channels_last_3d)
    timed = time_models(networks, last, budget=budget, min_repeats=7, threads=threads)
    return {title: timing.ms / batch for title, timing in timed.items()}


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.networks", description=__doc__)
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    parser.add_argument("--networks", type=list[str], default=list(NETWORKS))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--budget", type=float, default=15.0, help="Seconds for each network.")
    given = parser.parse_args(args)
    console = Console()
    shown = Table("network", "dense ms a clip", *SPARSITY)
    figures = {}
    for name in given.networks:
        ms = measure(name, given.batch, given.threads, given.budget)
        (form, dense), *swapped = ms.items()
        cells = [f"{value:.0f} ms, {dense / value:.1f}x" for _, value in swapped]
        shown.add_row(name, f"{dense:.0f} {form.removeprefix('dense ')}", *cells)
        figures[name] = ms
    console.print(shown, f"Batch {given.batch}; {describe(threads=given.threads)}; medians.")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    run_main(main)
