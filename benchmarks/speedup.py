"""Whether a speedup that is asked for is met: ``python -m benchmarks.speedup --json FILE``.

For each network and target: columns are pruned by `videowino.prune_to_speedup`, the network is
deployed anew, and timed in turns with the dense one in PyTorch's fastest form.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table

import videowino
from benchmarks.results_table import around, write_between
from videowino.cli import run as run_main
from videowino.environment import describe
from videowino.fastest import in_fastest_form
from videowino.timing import time_models
from videowino.winograd import column_sparsity

_SIZES = {"r3d_18": (16, 112, 112), "c3d": (16, 112, 112), "r3d_10": (16, 56, 56)}


def meet(network: str, target: float, budget: float, console: Console) -> dict[str, Any]:
    """One row: what was asked for, and what a deployed network takes."""
    torch.manual_seed(0)
    small = network == "r3d_10"
    options = {"width": 0.5, "stem": "small"} if small else {}
    dense = videowino.create_model(network, 101, **options).eval()  # type: ignore[arg-type]
    model = videowino.create_model(network, 101, **options).eval()  # type: ignore[arg-type]
    videowino.convert(model)
    clip = torch.randn(1, 3, *_SIZES[network])
    videowino.prune_to_speedup(model, target, clip, dense=dense, say=console.print)
    form, _ = in_fastest_form(dense, clip)
    times = time_models(
        {"dense": form, "pruned": videowino.deploy(model, clip)}, clip, budget=budget
    )
    return {
        "network": network,
        "target": target,
        "speedup": times["pruned"].speedup(times["dense"]),
        "dense_ms": times["dense"].ms,
        "ms": times["pruned"].ms,
        "columns_kept": 1 - column_sparsity(model),
    }


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.speedup", description=__doc__)
    parser.add_argument("--networks", type=list[str], default=["r3d_18", "c3d", "r3d_10"])
    parser.add_argument("--targets", type=list[float], default=[4.5, 5.0, 6.0])
    parser.add_argument("--small_targets", type=list[float], default=[2.0, 2.3], help="Of r3d_10.")
    parser.add_argument("--budget", type=float, default=5.0, help="Seconds for each comparison.")
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    parser.add_argument("--docs", type=Path | None, help="Document to write the table into.")
    given = parser.parse_args(args)
    if given.docs is not None:
        around(given.docs, "speedup targets")
    console = Console()
    rows = []
    for network in given.networks:
        for target in given.small_targets if network == "r3d_10" else given.targets:
            rows.append(meet(network, target, given.budget, console))
            console.print(f"{network}, {target:g}x: {rows[-1]['speedup']:.2f}x")
    table = Table("network", "asked for", "deployed", "off", "columns kept")
    lines = ["| network | asked for | deployed | off | columns kept |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        cells = [
            row["network"],
            f"{row['target']:g}x",
            f"{row['speedup']:.2f}x",
            f"{100 * (row['speedup'] / row['target'] - 1):+.1f} %",
            f"{100 * row['columns_kept']:.0f} %",
        ]
        table.add_row(*cells)
        lines.append("| " + " | ".join(cells) + " |")
    console.print(table)
    environment = describe("cpu")
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"rows": rows, "environment": asdict(environment)}
        given.json.write_text(json.dumps(content, indent=1) + "\n")
    if given.docs is not None:
        write_between(given.docs, "speedup targets", "\n".join(lines))


if __name__ == "__main__":
    run_main(main)
