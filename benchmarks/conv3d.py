"""Single convolutions against PyTorch's own: ``python -m benchmarks.conv3d --help``.

Every distinct eligible layer of C3D, R3D-18 and I3D, as a video network runs it. Rivals take turns
in one process. Forward: conv3d in the better of its two memory layouts, oneDNN's convolution called
by name (at batch 1 PyTorch takes small clips to a slower routine of its own), and Winograd layers
as users get them: unpruned as the tile chooser says, with half and with a quarter of the columns
and the best tile. Training: forward and both gradients of conv3d, and of `vanilla` layers with all
and with half of their columns. `ONEDNN_MAX_CPU_ISA=AVX2 VIDEOWINO_ISA=avx2` limits both sides.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from benchmarks.conv3d_table import (
    FORWARD,
    TRAINING,
    Cell,
    Row,
    means,
    table,
    too_much_memory,
)
from benchmarks.layers import NETWORKS, Layer, conv_of, layers, moved_bytes, products, pruned
from benchmarks.memory import peak_extra
from videowino.cli import run as run_main
from videowino.environment import describe
from videowino.kernels import native
from videowino.kernels.chooser import TileChooser, sensible_tiles
from videowino.timing import Timing, alternate, using_threads
from videowino.winograd import WinogradConv3d

FIRST, LAST = torch.contiguous_format, torch.channels_last_3d
Call = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """What a row is measured with."""

    layer: Layer
    networks: list[str]
    batch: int
    threads: int
    peak: float
    budget: float
    weight_bits: int = 32
    trained: str = "vanilla"

    @property
    def clip(self) -> Tensor:
        """Random, channels last in memory."""
        size = (self.batch, self.layer.in_channels, *self.layer.size)
        return torch.randn(size).to(memory_format=LAST)

    def time(self, calls: Mapping[str, Call]) -> dict[str, Timing]:
        """What is reported."""
        return alternate(calls, budget=self.budget, min_repeats=7, warmup=2, threads=self.threads)

    def best(self, calls: Mapping[str, Call]) -> str:
        """The fastest, by a shorter look."""
        times = alternate(
            calls, budget=self.budget / 4, min_repeats=3, warmup=1, threads=self.threads
        )
        return min(times, key=lambda name: times[name].median)


def measure_forward(setting: Setting) -> Row:
    """Inference."""
    layer, clip = setting.layer, setting.clip
    modules = {at: conv_of(layer).to(memory_format=at) for at in (FIRST, LAST)}  # type: ignore[call-overload]
    clips = {at: clip.to(memory_format=at) for at in modules}
    dense = {_name(at): partial(conv, clips[at]) for at, conv in modules.items()}
    onednn = {_name(at): _onednn(conv, clips[at]) for at, conv in modules.items()}
    chooser = TileChooser(budget=setting.budget / 2)
    # Layers made in inference mode would be packed at each call: their changes could not be seen.
    with torch.no_grad():
        layout = setting.best(dense)
        calls: dict[str, Call] = {
            "conv3d": dense[layout],
            "onednn": onednn[setting.best(onednn)],
        }
        chosen: dict[str, nn.Module] = {"all": _chosen(chooser, modules[LAST], clip, setting)}
        for name, share in FORWARD.items():
            if share < 1:
                chosen[name] = _best_pruned(setting, share, lambda module: partial(module, clip))
        calls |= {name: partial(module, clip) for name, module in chosen.items()}
        times = setting.time(calls)
        extra = {name: peak_extra(calls[name], setting.threads) for name in chosen}
    peak_ms = layer.operations * setting.batch / setting.peak * 1e3
    row = _row(setting, "forward", layout, times["conv3d"], times["onednn"], peak_ms)
    for name, module in chosen.items():
        row.cells[name] = _cell(setting, module, times[name], times, extra[name], 1)
    return row


def measure_training(setting: Setting) -> Row:
    """Forward and the gradients of clip and weight."""
    layer, clip = setting.layer, setting.clip
    with torch.inference_mode():
        shape = conv_of(layer)(clip[:1]).shape[1:]
    slope = torch.randn(setting.batch, *shape).to(memory_format=LAST)
    dense = {}
    for at in (FIRST, LAST):
        conv = conv_of(layer).to(memory_format=at)  # type: ignore[call-overload]
        dense[_name(at)] = _step(conv, clip.to(memory_format=at), slope.to(memory_format=at))
    layout = setting.best(dense)
    chosen = {
        name: _best_pruned(
            setting, share, lambda module: _step(module, clip, slope), setting.trained
        )
        for name, share in TRAINING.items()
    }
    calls: dict[str, Call] = {"conv3d": dense[layout]}
    calls |= {name: _step(module, clip, slope) for name, module in chosen.items()}
    times = setting.time(calls)
    row = _row(setting, "training", layout, times["conv3d"], None, None)
    for name, module in chosen.items():
        extra = peak_extra(calls[name], setting.threads)
        row.cells[name] = _cell(setting, module, times[name], times, extra, 3)
    return row


def _best_pruned(
    setting: Setting, share: float, call: Callable[[nn.Module], Call], kind: str = "spatial"
) -> WinogradConv3d:
    layer = setting.layer
    made = {
        str(tile): pruned(layer, tile.m, share, kind)
        for tile in sensible_tiles(layer.taps, layer.size)
    }
    for module in made.values():
        module.train(kind == setting.trained)
        module.weight_bits = setting.weight_bits
    return made[setting.best({name: call(module) for name, module in made.items()})]


def _chosen(chooser: TileChooser, conv: nn.Conv3d, clip: Tensor, setting: Setting) -> nn.Module:
    with using_threads(setting.threads):
        module = chooser.fastest(conv, clip)
    if isinstance(module, WinogradConv3d):
        module.weight_bits = setting.weight_bits
    return module


def _step(module: nn.Module, clip: Tensor, slope: Tensor) -> Call:
    leaf = clip.detach().requires_grad_()

    def run() -> None:
        leaf.grad = None
        module.zero_grad()
        module(leaf).backward(slope)

    return run


def _onednn(conv: nn.Conv3d, clip: Tensor) -> Call:
    settings = (conv.padding, conv.stride, conv.dilation, conv.groups)
    return lambda: torch.ops.aten.mkldnn_convolution(clip, conv.weight, conv.bias, *settings)


def _name(layout: torch.memory_format) -> str:
    return "N D H W C" if layout == LAST else "N C D H W"


def _row(
    setting: Setting,
    work: str,
    layout: str,
    conv3d: Timing,
    onednn: Timing | None,
    peak_ms: float | None,
) -> Row:
    return Row(
        layer=str(setting.layer),
        networks=setting.networks,
        work=work,
        batch=setting.batch,
        threads=setting.threads,
        layout=layout,
        conv3d_ms=conv3d.ms,
        onednn_ms=None if onednn is None else onednn.ms,
        onednn_of_peak=None if onednn is None or peak_ms is None else peak_ms / onednn.ms,
        output_mb=setting.layer.output_bytes(setting.batch) / 1e6,
    )


def _cell(
    setting: Setting,
    module: nn.Module,
    time: Timing,
    times: Mapping[str, Timing],
    extra: int | None,
    passes: int,
) -> Cell:
    layer, batch = setting.layer, setting.batch
    tile, columns, done = "conv3d", math.prod(layer.taps), float(layer.operations * batch)
    if isinstance(module, WinogradConv3d):
        tile, columns = "x".join(map(str, module.tile.m)), module.columns_kept
        done = products(layer, module, batch)
    return Cell(
        tile=tile,
        ms=time.ms,
        speedup=time.speedup(times["conv3d"]),
        over_onednn=time.speedup(times["onednn"]) if "onednn" in times else None,
        of_peak=passes * done / time.median / setting.peak,
        moved_mb=passes * moved_bytes(layer, columns, batch) / 1e6,
        extra_mb=None if extra is None else extra / 1e6,
    )


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.conv3d", description=__doc__)
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    parser.add_argument("--networks", type=list[str], default=list(NETWORKS))
    parser.add_argument("--batches", type=list[int], default=[1, 4])
    parser.add_argument("--threads", type=list[int], default=[1, 2])
    parser.add_argument("--work", type=list[str], default=["forward", "training"])
    parser.add_argument("--budget", type=float, default=1.0, help="Seconds for each comparison.")
    parser.add_argument("--weight_bits", type=Literal[16, 32], default=32, help="U's storage.")
    parser.add_argument(
        "--parameterization",
        type=Literal["vanilla", "spatial", "low_rank", "factored"],
        default="vanilla",
        help="What is trained.",
    )
    parser.add_argument("--match", type=str, default="", help="Only layers whose name has this.")
    given = parser.parse_args(args)
    library = native.library()
    if library is None:
        raise ValueError("the CPU kernels are not built: there is nothing to measure")
    console = Console(width=170)
    found = {la: names for la, names in layers(given.networks).items() if given.match in str(la)}
    if not found:
        raise ValueError(f"match={given.match!r} is in no layer's name; see the names without it")
    peaks = {threads: library.vw_peak(threads) for threads in given.threads}
    measures = {"forward": measure_forward, "training": measure_training}
    jobs = [
        (
            work,
            Setting(
                layer,
                found[layer],
                batch,
                threads,
                peaks[threads],
                given.budget,
                given.weight_bits,
                given.parameterization,
            ),
        )
        for work in given.work
        for threads in given.threads
        for batch in given.batches
        for layer in found
    ]
    rows = [measures[work](setting) for work, setting in track(jobs, "layers", console=console)]
    for work in given.work:
        console.print(table(rows, work))
    summary = means(rows)
    for mean in summary:
        parts = [f"{name} {mean[name]:.2f}x" for name in FORWARD if name in mean]
        console.print(
            f"{mean['work']}, batch {mean['batch']}, {mean['threads']} threads, over "
            f"{mean['over']}, geometric mean of {mean['layers']} layers: {', '.join(parts)}; "
            f"slowest with all {mean['slowest']:.2f}x"
        )
    for line in too_much_memory(rows):
        console.print(f"more extra memory than 64 MB and half the result: {line}")
    if given.json:
        environment = {
            "machine": str(describe(threads=max(given.threads))),
            "isa": native.instruction_set(),
            "weight_bits": given.weight_bits,
            "parameterization": given.parameterization,
            "onednn_isa": os.environ.get("ONEDNN_MAX_CPU_ISA", "default"),
            "peak_gflops": {threads: peak / 1e9 for threads, peak in peaks.items()},
        }
        data = {"environment": environment, "means": summary, "rows": [asdict(r) for r in rows]}
        given.json.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    run_main(main)
