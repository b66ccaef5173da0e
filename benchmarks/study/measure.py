"""Accuracy and time of a study's networks: all of one split and seed side by side."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import torch
from rich.console import Console
from torch import nn

from benchmarks.study.filters import shrink
from benchmarks.study.grid import IN_PYTORCH, Cell, plain
from benchmarks.study.training import DENSE, Runs
from videowino.deployment import deploy
from videowino.environment import describe
from videowino.evaluation.accuracy import evaluate
from videowino.fastest import in_fastest_form
from videowino.report import count
from videowino.timing import time_models
from videowino.training.checkpoint import load_classifier, load_datamodule
from videowino.winograd import column_sparsity

EAGER, FASTEST = "dense, eager", "dense, fastest form"
_BUDGET = 0.6  # seconds for each network


def measure(runs: Runs, place: tuple[int, int], console: Console) -> list[dict[str, Any]]:
    """A row a cell, and two where filters were pruned: deployed by videowino, and in PyTorch.

    Accuracy is that of the trained networks on the study's part of the videos; times are medians
    of the deployed ones at batch 1, in turns with the dense network as PyTorch runs it as it is
    (eager), and in the form that PyTorch runs fastest, as whoever has no videowino would run a
    pruned one too.

    Args:
        runs: trained.
        place: split and seed.
        console: for what is being done.
    """
    cells = [DENSE, *runs.study.cells]
    networks: dict[str, nn.Module] = {}
    for cell in cells:
        model = load_classifier(runs.checkpoint(place, cell)).model
        networks[cell.name] = shrink(model).eval() if cell.method == "filters" else model
    options: dict[str, Any] = dict(runs.study.data)
    if runs.study.root is not None:
        options["root"] = str(runs.study.root)
    data = load_datamodule(runs.checkpoint(place, DENSE), num_workers=0, **options)
    testing = runs.study.part == "test"
    data.setup("test" if testing else "validate")
    loader = data.test_dataloader() if testing else data.val_dataloader()
    console.print(f"split {place[0]}, seed {place[1]}: accuracy of {len(cells)} networks")
    shown: list[torch.Tensor] = []

    def batches() -> Any:
        for batch in map(data.take_bad, loader):
            if not shown:
                shown.append(batch["clip"][0, :1].clone())
            yield batch

    accuracies = evaluate(networks, batches(), data.num_classes)
    console.print(f"split {place[0]}, seed {place[1]}: times")
    clip = shown[0].contiguous()
    dense = networks[DENSE.name]
    fastest, form = in_fastest_form(dense, clip)
    calls: dict[str, nn.Module] = {EAGER: dense, FASTEST: fastest}
    calls |= {name: deploy(model, clip, budget=0.05) for name, model in networks.items()}
    rows = [(cell, cell.name) for cell in cells]
    for cell in cells:
        if cell.method == "filters":
            twin = in_pytorch(cell)
            calls[twin.name], _ = in_fastest_form(networks[cell.name], clip)
            rows.append((twin, cell.name))
    times = time_models(calls, clip, budget=_BUDGET * len(calls), min_repeats=20)
    return [
        {
            "split": place[0],
            "seed": place[1],
            "part": runs.study.part,
            "cell": plain(cell),
            "video_top1": accuracies[network].video_top1,
            "clip_top1": accuracies[network].clip_top1,
            "videos": accuracies[network].videos,
            "columns_kept": 1 - column_sparsity(networks[network]),
            **_counts(networks[network], clip),
            "ms": times[cell.name].ms,
            "iqr_ms": times[cell.name].iqr_ms,
            "eager_ms": times[EAGER].ms,
            "fastest_ms": times[FASTEST].ms,
            "fastest_form": form,
            "speedup": times[cell.name].speedup(times[EAGER]),
            "speedup_fastest": times[cell.name].speedup(times[FASTEST]),
            "clip_shape": list(clip.shape[1:]),
            "environment": asdict(describe("cpu")),
        }
        for cell, network in rows
    ]


def in_pytorch(cell: Cell) -> Cell:
    """The cell, run without our engine."""
    return replace(cell, label=", ".join(filter(None, [cell.label, IN_PYTORCH])))


def _counts(model: nn.Module, clip: torch.Tensor) -> dict[str, Any]:
    found = count(model, clip)
    return {
        "parameters": found.parameters,
        "trainable": found.trainable,
        "multiplications": found.multiplications,
    }
