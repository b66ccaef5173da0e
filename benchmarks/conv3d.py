"""Single convolutions against PyTorch's own: ``python -m benchmarks.conv3d --help``.

Every distinct eligible layer of C3D, R3D-18 and I3D, as a video network runs it, forward: with all
columns and the best tile, with half and with a quarter of them. Rivals take turns in one process:
conv3d in the better of its two memory layouts, oneDNN's convolution called by name (at batch 1
PyTorch takes small clips to a slower routine of its own), and the Winograd layer as users get it.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from videowino.cli import run as run_main
from videowino.kernels import cpu, native
from videowino.models import create_model
from videowino.timing import alternate
from videowino.winograd import WinogradConv3d
from videowino.winograd.columns import select_columns
from videowino.winograd.layers import ineligible_reason
from videowino.winograd.tile import Triple
from videowino.winograd.transforms import tile_counts

NETWORKS = {"c3d": (16, 112, 112), "r3d_18": (16, 112, 112), "i3d": (16, 224, 224)}
SHARES = {"all": 1.0, "half": 0.5, "quarter": 0.25}
TILES = ((2, 4, 4), (4, 4, 4), (2, 2, 2), (2, 3, 3), (1, 4, 4))


@dataclass(frozen=True)
class Layer:
    """A convolution and the clip it is given (D, H, W), stride 1."""

    in_channels: int
    out_channels: int
    taps: Triple
    padding: Triple
    size: Triple

    def __str__(self) -> str:
        size = "x".join(map(str, self.size))
        return f"{self.in_channels:>3} to {self.out_channels:>3}, {size}"

    @property
    def macs(self) -> int:
        """Multiplications of the direct convolution of one clip."""
        return self.in_channels * self.out_channels * math.prod((*self.taps, *self.size))


@dataclass(frozen=True)
class Row:
    """One layer, batch and thread count; milliseconds, times faster than conv3d, tiles."""

    layer: str
    networks: list[str]
    batch: int
    threads: int
    layout: str
    conv3d_ms: float
    onednn_ms: float
    onednn_of_peak: float
    ms: dict[str, float]
    speedup: dict[str, float]
    over_onednn: dict[str, float]
    tile: dict[str, str]
    of_peak: dict[str, float]
    moved_mb: dict[str, float]
    workspace_mb: dict[str, float]


def layers(networks: Iterable[str]) -> dict[Layer, list[str]]:
    """The distinct eligible layers, and the networks they are in."""
    found: dict[Layer, list[str]] = {}
    for name in networks:
        model = create_model(name, 10).to("meta").eval()

        def record(conv: nn.Conv3d, args: tuple[Tensor, ...], name: str = name) -> None:
            layer = Layer(
                conv.in_channels,
                conv.out_channels,
                _triple(conv.kernel_size),
                _triple(conv.padding),
                _triple(args[0].shape[2:]),
            )
            if name not in found.setdefault(layer, []):
                found[layer].append(name)

        for module in model.modules():
            if isinstance(module, nn.Conv3d) and ineligible_reason(module) is None:
                module.register_forward_pre_hook(record)
        model(torch.empty(1, 3, *NETWORKS[name], device="meta"))
    return found


def _triple(values: Iterable[int | str]) -> Triple:
    d, h, w = (int(value) for value in values)
    return d, h, w


def conv_of(layer: Layer) -> nn.Conv3d:
    """The dense layer."""
    torch.manual_seed(0)
    return nn.Conv3d(
        layer.in_channels, layer.out_channels, layer.taps, padding=layer.padding, bias=False
    ).eval()


def pruned(layer: Layer, tile: Sequence[int], share: float) -> WinogradConv3d:
    """The Winograd layer with the best share of its columns, by magnitude."""
    made = WinogradConv3d.from_conv(
        conv_of(layer), tile=tile, parameterization="spatial", rank=None
    ).eval()
    if share < 1:
        made.set_column_mask(select_columns({"": made.scores("magnitude")}, 1 - share)[""])
    return made


def measure(layer: Layer, batch: int, threads: int, peak: float, budget: float) -> Row:
    """Time one layer."""
    last = torch.channels_last_3d
    x = torch.randn(batch, layer.in_channels, *layer.size)
    clip = x.to(memory_format=last)
    first_conv, last_conv = conv_of(layer), conv_of(layer).to(memory_format=last)  # type: ignore[call-overload]
    dense = {
        "N C D H W": _call(first_conv, x),
        "N D H W C": _call(last_conv, clip),
        "oneDNN, N C D H W": _onednn(first_conv, x),
        "oneDNN, N D H W C": _onednn(last_conv, clip),
    }
    rivals = {
        name: {tile: pruned(layer, tile, share) for tile in _tiles(layer)}
        for name, share in SHARES.items()
    }
    quick = partial(alternate, budget=budget / 4, min_repeats=3, warmup=1, threads=threads)
    with torch.inference_mode():
        found = quick(dense)
        layout, onednn = (min(pair, key=lambda name: found[name].median) for pair in _pairs(dense))
        chosen: dict[str, WinogradConv3d] = {}
        for name, tiles in rivals.items():
            times = quick({str(t): _call(module, clip) for t, module in tiles.items()})
            chosen[name] = tiles[min(tiles, key=lambda tile: times[str(tile)].median)]
        calls = {"conv3d": dense[layout], "onednn": dense[onednn]}
        calls |= {name: _call(module, clip) for name, module in chosen.items()}
        timing = alternate(calls, budget=budget, min_repeats=7, warmup=2, threads=threads)
        extra = {name: _workspace(module, clip, threads) for name, module in chosen.items()}
    conv3d, direct = timing.pop("conv3d"), timing.pop("onednn")
    return Row(
        layer=str(layer),
        networks=[],
        batch=batch,
        threads=threads,
        layout=layout,
        conv3d_ms=conv3d.ms,
        onednn_ms=direct.ms,
        onednn_of_peak=2 * layer.macs * batch / direct.median / peak,
        ms={name: time.ms for name, time in timing.items()},
        speedup={name: time.speedup(conv3d) for name, time in timing.items()},
        over_onednn={name: time.speedup(direct) for name, time in timing.items()},
        tile={name: "x".join(map(str, module.tile.m)) for name, module in chosen.items()},
        of_peak={
            name: _products(layer, module, batch) / timing[name].median / peak
            for name, module in chosen.items()
        },
        moved_mb={name: _moved(layer, module, batch) for name, module in chosen.items()},
        workspace_mb=extra,
    )


def _pairs(names: Iterable[str]) -> tuple[list[str], list[str]]:
    listed = list(names)
    return listed[:2], listed[2:]


def _tiles(layer: Layer) -> Iterator[tuple[int, ...]]:
    seen = set()
    for tile in TILES:
        fitted = tuple(
            min(m, s) if r > 1 else 1 for m, s, r in zip(tile, layer.size, layer.taps, strict=True)
        )
        if fitted not in seen and max(fitted) > 1:
            seen.add(fitted)
            yield fitted


def _call(module: nn.Module, clip: Tensor) -> Callable[[], object]:
    return lambda: module(clip)


def _onednn(conv: nn.Conv3d, clip: Tensor) -> Callable[[], object]:
    settings = (conv.padding, conv.stride, conv.dilation, conv.groups)
    return lambda: torch.ops.aten.mkldnn_convolution(clip, conv.weight, conv.bias, *settings)


def _tile_number(layer: Layer, module: WinogradConv3d, batch: int) -> int:
    return batch * math.prod(tile_counts(module.tile, layer.size))


def _products(layer: Layer, module: WinogradConv3d, batch: int) -> float:
    """Floating-point operations of the element-wise products."""
    per_tile = 2 * module.columns_kept * layer.in_channels * layer.out_channels
    return float(per_tile * _tile_number(layer, module, batch))


def _moved(layer: Layer, module: WinogradConv3d, batch: int) -> float:
    """Megabytes that must be moved: clip and weight read, result written, once each."""
    clip = batch * math.prod(layer.size) * (layer.in_channels + layer.out_channels)
    weight = module.columns_kept * layer.in_channels * layer.out_channels
    return 4 * (clip + weight) / 1e6


def _workspace(module: WinogradConv3d, clip: Tensor, threads: int) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return cpu.workspace(clip, module) / 1e6
    finally:
        torch.set_num_threads(before)


def geometric_mean(values: Sequence[float]) -> float:
    """Exp of the mean logarithm."""
    return math.exp(sum(map(math.log, values)) / len(values))


def table(rows: Sequence[Row]) -> Table:
    """What is printed."""
    shown = Table("layer", "batch", "threads", "conv3d ms", "oneDNN", *SHARES, "extra MB")
    for row in rows:
        cells = [
            f"{row.ms[n]:.2f} ms {row.speedup[n]:.1f}x {row.tile[n]} {row.of_peak[n]:.0%}"
            for n in SHARES
        ]
        extra = max(row.workspace_mb.values())
        shown.add_row(
            row.layer, str(row.batch), str(row.threads), f"{row.conv3d_ms:.2f}",
            f"{row.onednn_ms:.2f} {row.onednn_of_peak:.0%}", *cells, f"{extra:.0f}",
        )  # fmt: skip
    return shown


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.conv3d", description=__doc__)
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    parser.add_argument("--networks", type=list[str], default=list(NETWORKS))
    parser.add_argument("--batches", type=list[int], default=[1, 4])
    parser.add_argument("--threads", type=list[int], default=[1, 2])
    parser.add_argument("--budget", type=float, default=1.0, help="Seconds for each comparison.")
    parser.add_argument("--match", type=str, default="", help="Only layers whose name has this.")
    given = parser.parse_args(args)
    library = native.library()
    if library is None:
        raise ValueError("the CPU kernels are not built: there is nothing to measure")
    console = Console(width=160)
    found = {
        layer: names for layer, names in layers(given.networks).items() if given.match in str(layer)
    }
    jobs = [(la, b, t) for t in given.threads for b in given.batches for la in found]
    rows: list[Row] = []
    peaks = {t: library.vw_peak(t) for t in given.threads}
    for layer, batch, threads in track(jobs, "layers", console=console):
        row = measure(layer, batch, threads, peaks[threads], given.budget)
        row.networks.extend(found[layer])
        rows.append(row)
    console.print(table(rows))
    means = []
    for threads in given.threads:
        for batch in given.batches:
            some = [r for r in rows if (r.batch, r.threads) == (batch, threads)]
            for over, of in (("conv3d", "speedup"), ("onednn", "over_onednn")):
                mean = {n: geometric_mean([getattr(r, of)[n] for r in some]) for n in SHARES}
                means.append({"batch": batch, "threads": threads, "over": over, **mean})
                text = ", ".join(f"{name} {value:.2f}x" for name, value in mean.items())
                console.print(
                    f"batch {batch}, {threads} threads, over {over}, "
                    f"geometric mean of {len(some)} layers: {text}"
                )
    if given.json:
        environment = {
            "torch": torch.__version__,
            "processor": platform.processor() or platform.machine(),
            "isa": native.instruction_set(),
            "cores": os.cpu_count(),
            "peak_gflops": {t: p / 1e9 for t, p in peaks.items()},
        }
        data = {"environment": environment, "means": means, "rows": [asdict(r) for r in rows]}
        given.json.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    run_main(main)
