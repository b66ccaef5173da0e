"""Whole networks against other engines: ``python -m benchmarks.network --json FILE``.

Untrained networks of full size with the statistics of a trained one's batch norms, in turns in one
process: PyTorch eager in both layouts, torch.compile with freezing, ONNX Runtime, OpenVINO in
float32 and in its default precision, and the network deployed by videowino with all columns, with
half and with a quarter of them (tiles by `fastest_tiles`, columns by magnitude). Outputs of those
that compute the same are compared with eager's. A rival that is not installed is left out, with
the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.rivals import RIVALS, Missing
from videowino import convert, create_model, deploy, fastest_tiles, prune
from videowino.cli import run as run_main
from videowino.deployment import DeployedModel
from videowino.environment import describe
from videowino.multiplications import convolutions
from videowino.timing import alternate, using_threads

NETWORKS = {
    "r3d_18": (16, 112, 112),
    "c3d": (16, 112, 112),
    "i3d": (16, 224, 224),
    "r2plus1d_18": (16, 112, 112),
}
SPARSITY = {"all columns": 0.0, "half": 0.5, "a quarter": 0.75}
EAGER = ("eager", "eager, channels last")
_PAUSE = 0.02  # other engines' threads look for work for a while after a call


@dataclass
class Figures:
    """One network at one batch size and thread count.

    Attributes:
        ms: Median milliseconds a forward pass, by name.
        off: Largest deviation from eager, relative to its largest output, by name.
        missing: Why a rival was left out.
        layers: Of each deployed network, what its report says.
    """

    network: str
    batch: int
    threads: int
    ms: dict[str, float] = field(default_factory=dict)
    off: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    layers: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def eager(self) -> float:
        """Of eager in its better layout."""
        return min(self.ms[name] for name in EAGER)

    @property
    def best_f32(self) -> float:
        """Of the fastest rival in float32."""
        return min(ms for name, ms in self.ms.items() if name in RIVALS and RIVALS[name][1])


def network_of(name: str) -> nn.Module:
    """Untrained, but with statistics that are not 0 and 1."""
    torch.manual_seed(0)
    model = create_model(name, 101).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model.requires_grad_(False)


def deployed_at(model: nn.Module, clip: Tensor, sparsity: float) -> tuple[DeployedModel, nn.Module]:
    """The deployed network with that share of its columns pruned, and what it was made from."""
    pruned = deepcopy(model)
    if sparsity:
        first = next(name for name, _ in convolutions(pruned))
        tiles = fastest_tiles(pruned, clip, sparsity, strided=True, budget=0.5)
        tiles.pop(first, None)
        convert(pruned, parameterization="spatial", tile=tiles, strided=True, exclude=first)
        prune(pruned, sparsity)
        pruned.eval()
    return deploy(pruned, clip), pruned


def measure(
    name: str, batch: int, threads: int, budget: float, rivals: list[str], status: Callable
) -> Figures:
    """All of them, in turns."""
    figures = Figures(name, batch, threads)
    model = network_of(name)
    clip = torch.randn(batch, 3, *NETWORKS[name])
    calls: dict[str, Callable[[], Tensor]] = {}
    made: dict[str, DeployedModel] = {}
    with using_threads(threads), torch.inference_mode():
        expected = model(clip)
        for title, (make, _) in RIVALS.items():
            if title not in rivals and title not in EAGER:
                continue
            status(f"{name}, batch {batch}, {threads} threads: {title}")
            try:
                calls[title] = make(model, clip, threads)
                figures.off[title] = _off(calls[title](), expected)
            except Missing as reason:
                figures.missing[title] = str(reason)
            except Exception as error:  # engines fail in their own ways, and the others go on
                calls.pop(title, None)
                figures.missing[title] = f"failed: {str(error).splitlines()[0][:200]}"
        for title, sparsity in SPARSITY.items():
            status(f"{name}, batch {batch}, {threads} threads: deploying, {title}")
            fast, source = deployed_at(model, clip, sparsity)
            made[title] = fast
            calls[title] = lambda fast=fast: fast(clip)  # type: ignore[misc]
            figures.off[title] = _off(calls[title](), source(clip))
        status(f"{name}, batch {batch}, {threads} threads: timing {len(calls)} in turns")
        times = alternate(calls, budget=budget, min_repeats=5, warmup=2, pause=_PAUSE)
        figures.ms = {title: timing.ms for title, timing in times.items()}
        figures.layers = {title: fast.report(clip).figures for title, fast in made.items()}
    torch.compiler.reset()
    return figures


def _off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def table(every: list[Figures]) -> Table:
    """A row for each network, batch size and thread count."""
    names = list(dict.fromkeys(name for figures in every for name in figures.ms))
    shown = Table("network", "batch", "threads", *names, "over eager", "over best f32")
    for figures in every:
        cells = [f"{figures.ms[name]:.0f}" if name in figures.ms else "-" for name in names]
        ours = [figures.ms[title] for title in SPARSITY]
        over = " / ".join(f"{figures.eager / ms:.1f}x" for ms in ours)
        best = " / ".join(f"{figures.best_f32 / ms:.1f}x" for ms in ours)
        row = (figures.network, str(figures.batch), str(figures.threads))
        shown.add_row(*row, *cells, over, best)
    return shown


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.network", description=__doc__)
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    parser.add_argument("--networks", type=list[str], default=list(NETWORKS))
    parser.add_argument("--batches", type=list[int], default=[1, 4])
    parser.add_argument("--threads", type=list[int], default=[1, 2])
    parser.add_argument("--rivals", type=list[str], default=list(RIVALS))
    parser.add_argument("--budget", type=float, default=20.0, help="Seconds for each comparison.")
    parser.add_argument("--layers", action="store_true", help="Print the layers' times too.")
    given = parser.parse_args(args)
    console = Console(width=200)
    every: list[Figures] = []
    for name in given.networks:
        for batch in given.batches:
            for threads in given.threads:
                with console.status("") as status:
                    figures = measure(
                        name, batch, threads, given.budget, given.rivals, status.update
                    )
                every.append(figures)
                off = {title: f"{value:.0e}" for title, value in figures.off.items()}
                console.print(table([figures]), f"off: {off}", highlight=False)
                for title, reason in figures.missing.items():
                    console.print(f"left out: {title}: {reason}", highlight=False)
                if given.layers:
                    console.print_json(data=figures.layers)
    environment = describe()
    console.print(table(every), f"ms; {environment}; medians.", highlight=False)
    if given.json:
        content = {
            "environment": asdict(environment),
            "figures": [asdict(figures) for figures in every],
        }
        given.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    run_main(main)
