"""Times of a network's Winograd layers with some of their columns, on inputs of the real shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from videowino.latency.cost import LayerCost, fit_cost
from videowino.timing import alternate, evaluating, layer_inputs
from videowino.winograd import WinogradConv3d, winograd_layers
from videowino.winograd.tile import Triple

_SHARES = (0.75, 0.5, 0.25, 0.125)  # of the columns, besides all
_BUDGET = 0.3  # seconds a shape: nine masks, each some ten times on layers of R3D-18


@torch.no_grad()
def measure_costs(
    model: nn.Module,
    example: Tensor,
    *,
    budget: float = _BUDGET,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, LayerCost]:
    """The cost of each Winograd layer, as it runs in a deployed network.

    Layers of one shape are measured once: what their weights are does not matter.

    Args:
        model: With Winograd layers; left as it is.
        example: What it is called with, N C D H W.
        budget: Seconds for each shape.
        threads: torch's threads meanwhile; None keeps the present number.
        progress: Called with the number of layers done, and of all.

    Returns:
        Name of the layer -> cost, over all its calls in a forward pass.

    Raises:
        ValueError: The model has no Winograd layer, or does not call one.
    """
    layers = winograd_layers(model)
    if not layers:
        raise ValueError("model has no WinogradConv3d; call videowino.convert(model) first")
    with evaluating([model]):
        called = layer_inputs(model, layers, example)
        known: dict[tuple[object, ...], LayerCost] = {}
        costs: dict[str, LayerCost] = {}
        for done, (name, layer) in enumerate(layers.items()):
            if not called[name]:
                raise ValueError(f"the forward pass does not call {name!r}: leave it a Conv3d")
            clips = [call[0][0] for call in called[name]]
            key = (_geometry(layer), *(clip.shape for clip in clips))
            if key not in known:
                known[key] = _measure(layer, clips, budget, threads)
            costs[name] = known[key]
            if progress is not None:
                progress(done + 1, len(layers))
    return costs


def _geometry(layer: WinogradConv3d) -> tuple[object, ...]:
    return (
        *(layer.in_channels, layer.out_channels, layer.tile, layer.pads, layer.padding_mode),
        *(layer.weight_bits, layer.gate.dtype, layer.gate.device),
    )


def _measure(
    layer: WinogradConv3d, clips: Sequence[Tensor], budget: float, threads: int | None
) -> LayerCost:
    # Channels last, as deployed networks have them.
    inputs = [
        torch.randn(clip.shape, device=layer.gate.device, dtype=clip.dtype).contiguous(
            memory_format=torch.channels_last_3d
        )
        for clip in clips
    ]
    masks = sample_masks(layer.tile.alpha)
    calls: dict[str, Callable[[], object]] = {}
    for name, mask in masks.items():
        pruned = deepcopy(layer)
        pruned.set_column_mask(mask.to(layer.gate.device), compensate=False)
        calls[name] = partial(_run, pruned, inputs)
    times = alternate(calls, budget=budget, min_repeats=3, threads=threads)
    return fit_cost(layer.tile.alpha, list(masks.values()), [times[n].ms for n in masks])


def _run(layer: WinogradConv3d, inputs: Sequence[Tensor]) -> None:
    for x in inputs:
        layer.fused(x, relu=True)


def sample_masks(alpha: Triple) -> Mapping[str, Tensor]:
    """Masks that tell the cost of a column from that of a line: scattered ones, and whole lines."""
    depths, lines = alpha[0], alpha[1] * alpha[2]
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(depths * lines, generator=generator)
    line_order = torch.randperm(lines, generator=generator)
    masks = {"all": torch.ones(depths * lines, dtype=torch.bool)}
    for share in _SHARES:
        scattered = torch.zeros(depths * lines, dtype=torch.bool)
        scattered[order[: max(1, round(share * depths * lines))]] = True
        whole = torch.zeros(depths, lines, dtype=torch.bool)
        whole[:, line_order[: max(1, round(share * lines))]] = True
        masks |= {f"{share} scattered": scattered, f"{share} lines": whole.flatten()}
    return masks
