"""Whole columns against columns by blocks of 16 channels: ``python -m benchmarks.blocks``.

Layers of the shapes that a network has are pruned both ways to equally many multiplications. The
error is that of the output, relative to the unpruned layer's, refit included and nothing trained;
times are of forward passes in turns in one process. Without a checkpoint, filters are made as
trained ones tend to be: smooth over their taps, and channels of uneven weight, log-normal with
`spread` (0: all alike). Clips are smooth noise.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from benchmarks.conv3d_table import geometric_mean
from benchmarks.layers import NETWORKS, Layer, conv_of, layers
from videowino.cli import run as run_main
from videowino.environment import describe
from videowino.kernels import native
from videowino.timing import alternate
from videowino.training.checkpoint import load_classifier
from videowino.winograd import WinogradConv3d
from videowino.winograd.blocks import BLOCK
from videowino.winograd.columns import select_columns

WAYS = ("column", "block")
_SMOOTH = 3  # samples on an axis that clips are averaged over, twice


@dataclass(frozen=True)
class Row:
    """One layer pruned both ways.

    Attributes:
        layer: Channels and clip.
        share: Of the multiplications that is left.
        threads: It was timed with.
        multiplied: By way: how many whole columns take as many multiplications.
        kept: By way: columns that some channels are kept in, which transforms make.
        error: By way, of the output.
        ms: By way, median; of `all` columns and of `conv3d` too.
        slower: Time by blocks over that by columns, by medians.
    """

    layer: str
    share: float
    threads: int
    multiplied: dict[str, float]
    kept: dict[str, int]
    error: dict[str, float]
    ms: dict[str, float]
    slower: float


def trained_like(layer: Layer, spread: float, seed: int = 0) -> nn.Conv3d:
    """A convolution with smooth filters, whose input channels differ in weight.

    Args:
        layer: Its shape.
        spread: Standard deviation of the logarithm of channels' weights.
        seed: Of the filters.
    """
    conv = conv_of(layer)
    generator = torch.Generator().manual_seed(seed)
    outs, ins, *taps = conv.weight.shape
    noise = torch.randn(outs, ins, *(r + 2 for r in taps), generator=generator)
    smooth = F.avg_pool3d(noise, 3, stride=1)
    gains = (spread * torch.randn(ins, generator=generator)).exp()
    pairs = (spread / 2 * torch.randn(outs, ins, generator=generator)).exp()
    with torch.no_grad():
        conv.weight.copy_(smooth * (gains * pairs)[:, :, None, None, None])
    return conv


def clip_for(layer: Layer, batch: int) -> Tensor:
    """Smooth noise of unit variance, channels last in memory."""
    x = torch.randn(batch, layer.in_channels, *(n + 2 * (_SMOOTH - 1) for n in layer.size))
    for _ in range(2):
        x = F.avg_pool3d(x, _SMOOTH, stride=1)
    return (x / x.std()).contiguous(memory_format=torch.channels_last_3d)


def both_ways(
    conv: nn.Conv3d, share: float, score: str, tile: Sequence[int]
) -> dict[str, WinogradConv3d]:
    """The layer pruned by whole columns and by blocks, by way."""
    made = {}
    for way in WAYS:
        layer = WinogradConv3d.from_conv(conv, tile=tile, parameterization="spatial", rank=None)
        scores = {"": layer.scores(score, way)}
        layer.set_mask(select_columns(scores, 1 - share)[""])
        made[way] = layer.eval()
    return made


@torch.no_grad()
def compare(
    layer: Layer,
    conv: nn.Conv3d,
    share: float,
    *,
    score: str,
    tile: Sequence[int],
    batch: int,
    threads: int,
    budget: float,
) -> Row:
    """One row."""
    clip = clip_for(layer, batch)
    conv = conv.eval().requires_grad_(False)
    whole = WinogradConv3d.from_conv(conv, tile=tile, parameterization="spatial", rank=None).eval()
    pruned = both_ways(conv, share, score, tile)
    y = conv(clip)
    error = {way: float((module(clip) - y).norm() / y.norm()) for way, module in pruned.items()}
    last = conv.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    calls = {"conv3d": last, "all": whole, **pruned}
    times = alternate(
        {name: partial(module, clip) for name, module in calls.items()},
        budget=budget,
        min_repeats=7,
        threads=threads,
    )
    return Row(
        layer=str(layer),
        share=share,
        threads=threads,
        multiplied={way: module.columns_multiplied for way, module in pruned.items()},
        kept={way: module.columns_kept for way, module in pruned.items()},
        error=error,
        ms={name: time.ms for name, time in times.items()},
        slower=times["column"].speedup(times["block"]),
    )


def table(rows: Sequence[Row]) -> Table:
    """What is printed."""
    headers = ("layer", "threads", "left", "conv3d ms", "all ms", "columns ms", "blocks ms")
    shown = Table(*headers, "blocks / columns", "columns off", "blocks off", "in some block")
    for row in rows:
        shown.add_row(
            row.layer,
            str(row.threads),
            f"{row.share:.0%}",
            *(f"{row.ms[name]:.2f}" for name in ("conv3d", "all", *WAYS)),
            f"{row.slower:.2f}x",
            *(f"{100 * row.error[way]:.1f} %" for way in WAYS),
            str(row.kept["block"]),
        )
    return shown


def trained_convs(path: str) -> list[nn.Conv3d]:
    """The convolutions of a checkpoint, not converted.

    Raises:
        ValueError: It has none.
    """
    model = load_classifier(path).model
    found = [m for m in model.modules() if isinstance(m, nn.Conv3d)]
    if not found:
        raise ValueError(f"checkpoint={path}: has no Conv3d; give one of a dense network")
    return found


def _fits(conv: nn.Conv3d, layer: Layer) -> bool:
    return conv.weight.shape == (layer.out_channels, layer.in_channels, *layer.taps)


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.blocks", description=__doc__)
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    parser.add_argument("--network", type=str, default="r3d_18", help="Whose layers.")
    parser.add_argument("--shares", type=list[float], default=[0.5, 0.25], help="Left of columns.")
    parser.add_argument("--threads", type=list[int], default=[1, 2])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--tile", type=list[int], default=[2, 4, 4])
    parser.add_argument("--score", type=str, default="reconstruction", help="Or magnitude.")
    parser.add_argument("--spread", type=float, default=1.0, help="Of channels' weights.")
    parser.add_argument("--checkpoint", type=str | None, help="Dense, with filters to take.")
    parser.add_argument("--budget", type=float, default=2.0, help="Seconds for each comparison.")
    parser.add_argument("--match", type=str, default="", help="Only layers whose name has this.")
    given = parser.parse_args(args)
    if given.network not in NETWORKS:
        raise ValueError(f"network={given.network!r} is unknown; choose from {', '.join(NETWORKS)}")
    found = [
        layer
        for layer in layers([given.network])
        if given.match in str(layer) and layer.in_channels > BLOCK and max(layer.taps) > 1
    ]
    convs = {layer: trained_like(layer, given.spread) for layer in found}
    if given.checkpoint:
        own = trained_convs(given.checkpoint)
        convs = {la: conv for la in found for conv in own if _fits(conv, la)}
    if not convs:
        raise ValueError(
            f"no layer of {given.network} with more than {BLOCK} channels has match="
            f"{given.match!r} in its name"
            + (", or is in the checkpoint" if given.checkpoint else "")
        )
    console = Console(width=170)
    jobs = [(la, share, n) for n in given.threads for share in given.shares for la in convs]
    rows = [
        compare(
            layer,
            convs[layer],
            share,
            score=given.score,
            tile=given.tile,
            batch=given.batch,
            threads=threads,
            budget=given.budget,
        )
        for layer, share, threads in track(jobs, "layers", console=console)
    ]
    console.print(table(rows))
    slower = geometric_mean([row.slower for row in rows])
    off = geometric_mean([row.error["block"] / row.error["column"] for row in rows])
    console.print(f"blocks over columns, geometric mean: time {slower:.2f}x, error {off:.2f}x")
    if given.json:
        environment = {
            "machine": str(describe(threads=max(given.threads))),
            "isa": native.instruction_set(),
            "score": given.score,
            "weights": given.checkpoint or f"trained-like, spread {given.spread}",
            "batch": given.batch,
            "tile": given.tile,
        }
        data = {"environment": environment, "rows": [asdict(row) for row in rows]}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    run_main(main)
