"""Which tile to convert each layer with, for speed: by measuring, before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from videowino.deployment.convolution import FusedConv3d
from videowino.deployment.fuse import fuse
from videowino.deployment.graph import trace
from videowino.deployment.tune import Tuner
from videowino.kernels import cpu
from videowino.kernels.chooser import sensible_tiles
from videowino.multiplications import convolutions
from videowino.timing import alternate
from videowino.winograd import WinogradConv3d, ineligible_reason, reference, select_columns
from videowino.winograd.finish import MaxPool
from videowino.winograd.padding import normalize_padding
from videowino.winograd.tile import Tile, Triple, fit_tile


class _After(NamedTuple):
    """What a deployed layer does beside its convolution."""

    relu: bool = False
    residual: bool = False
    pool: MaxPool | None = None


# What is made in inference mode is packed anew at each call, and would be timed with that.
@torch.inference_mode(False)
def fastest_tiles(
    model: nn.Module,
    example: Any,
    sparsity: float = 0.0,
    *,
    strided: bool = False,
    budget: float = 0.1,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Triple]:
    """The tile of each eligible layer that is the fastest on this machine, to convert with.

    A pruned layer stays with the tile whose columns were chosen, so this comes before training.
    Larger tiles save more multiplications and round more; where results overhang their tiles,
    smaller ones win, with few columns left the transforms count, and tiles that pooling windows
    fit into pool by themselves. Layers are timed as they will be deployed, with what follows them.

    Args:
        model: With Conv3d layers; left as it is.
        example: What it takes, a clip N C D H W usually, of the size to come.
        sparsity: Fraction of columns that will be pruned.
        strided: As of `convert`.
        budget: Seconds for each geometry.
        progress: Called with the layers done and how many there are.

    Returns:
        Layer name -> outputs a tile, for `convert(tile=...)`; without layers that no kernel takes.
            Measured in float32 on the CPU.

    Raises:
        ValueError: sparsity out of range.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity={sparsity}: from 0 to below 1")
    layers = {
        name: conv
        for name, conv in convolutions(model)
        if isinstance(conv, nn.Conv3d) and ineligible_reason(conv, strided) is None
    }
    clips = _inputs(model, layers, example)
    followed = _followed(model, example)
    known: dict[tuple[object, ...], Triple | None] = {}
    found: dict[str, Triple] = {}
    for done, (name, conv) in enumerate(layers.items()):
        if progress is not None:
            progress(done, len(layers))
        if name not in clips:
            continue
        clip, after = clips[name], followed.get(name, _After())
        geometry = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride)
        key = (*geometry, conv.padding, conv.padding_mode, tuple(clip.shape), after)
        if key not in known:
            known[key] = _fastest(conv, clip, after, sparsity, budget)
        tile = known[key]
        if tile is not None:
            found[name] = tile
    return found


def _fastest(
    conv: nn.Conv3d, clip: Tensor, after: _After, sparsity: float, budget: float
) -> Triple | None:
    one = fit_tile(1, conv.kernel_size, stride=conv.stride)
    size = reference.output_size(clip.shape, one, normalize_padding(conv.padding, one.taps))
    sensible = sensible_tiles(conv.kernel_size, size, conv.stride)
    tiles = [tile for tile in sensible if cpu.takes(torch.float32, tile)]
    if not tiles:
        return None
    x = _like((clip.shape[0], clip.shape[1], *clip.shape[2:]))
    residual = _like((clip.shape[0], conv.out_channels, *size)) if after.residual else None
    calls = {}
    for tile in tiles:
        layer = _pruned(conv, tile, sparsity)
        fused = FusedConv3d(layer, after.relu, Tuner(0), pool=after.pool)
        calls[str(tile)] = _call(fused, x, residual)
    with torch.inference_mode():
        times = alternate(calls, budget=budget, min_repeats=3, warmup=2)
    return min(tiles, key=lambda tile: times[str(tile)].median).m


def _pruned(conv: nn.Conv3d, tile: Tile, sparsity: float) -> WinogradConv3d:
    layer = WinogradConv3d.from_conv(
        deepcopy(conv).float().cpu(), tile=tile.m, parameterization="spatial", rank=None
    ).eval()
    if sparsity:
        scores = torch.rand(layer.columns, generator=torch.Generator().manual_seed(0))
        layer.set_column_mask(select_columns({"": scores}, sparsity, "uniform")[""])
    return layer


def _followed(model: nn.Module, example: Any) -> dict[str, _After]:
    """What each convolution is deployed with; nothing where the network has no graph."""
    network = nn.Sequential(deepcopy(model)).eval().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deploy says it, when it matters
        graph = trace(network, example, type(model).__name__)
    if graph is None:
        return {}
    fuse(graph, Tuner(0))
    found = {}
    for node in graph.graph.nodes:
        layer = graph.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(layer, FusedConv3d):
            name = node.target.removeprefix("0.")
            found[name] = _After(layer.relu, len(node.args) > 1, layer.pool)
    return found


def _like(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last_3d)


def _inputs(model: nn.Module, layers: dict[str, nn.Conv3d], example: Any) -> dict[str, Tensor]:
    """Like what each layer is given first, without storage."""
    seen: dict[str, Tensor] = {}

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen.setdefault(name, torch.empty_like(args[0], device="meta"))

        return hook

    modes = [(module, module.training) for module in model.modules()]
    handles = [conv.register_forward_pre_hook(recorder(name)) for name, conv in layers.items()]
    try:
        with torch.no_grad():
            model.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return seen


def _call(layer: nn.Module, x: Tensor, residual: Tensor | None) -> Callable[[], object]:
    return lambda: layer(x, residual)
