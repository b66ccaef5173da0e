"""How many multiplications a model's 3D convolutions take."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from videowino.winograd.layers import WinogradConv3d
from videowino.winograd.transforms import tile_counts

Convolution = nn.Conv3d | WinogradConv3d
# The outputs (N, C, D, H, W) that each convolution gave, one entry a use.
Sizes = dict[nn.Module, list[tuple[int, ...]]]


def convolutions(model: nn.Module) -> Iterator[tuple[str, Convolution]]:
    """The 3D convolutions of a model, shared ones once.

    Raises:
        ValueError: A LazyConv3d has no weight yet.
    """
    for name, module in model.named_modules():
        if isinstance(module, Convolution):
            if module.weight is not None and is_lazy(module.weight):
                raise ValueError(
                    f"layer {name!r} is a {type(module).__name__} without a weight; run a clip "
                    "through the model first, or pass it as example="
                )
            yield name, module


def output_sizes(model: nn.Module, example: Any) -> Sizes:
    """What the convolutions give in one forward pass over `example`."""
    modules = [module for module in model.modules() if isinstance(module, Convolution)]
    sizes: Sizes = {module: [] for module in modules}

    def note(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        shape = tuple(output.shape)
        sizes[module].append(shape if len(shape) == 5 else (1, *shape))

    with hooked(model, Convolution, note):
        run(model, example)
    return sizes


def direct(layer: Convolution, sizes: list[tuple[int, ...]] | None) -> float:
    """Of the direct convolution: in all uses, or for one output of each channel for None."""
    per_output = prod(layer.kernel_size) * layer.in_channels // layer.groups
    if sizes is None:
        return per_output * layer.out_channels
    return float(sum(prod(size) * per_output for size in sizes))


def winograd(layer: WinogradConv3d, sizes: list[tuple[int, ...]] | None) -> float:
    """Of the element-wise products over the kept columns or blocks of them, as `direct` counts."""
    per_tile = layer.columns_multiplied * layer.in_channels * layer.out_channels
    if sizes is None:
        return per_tile / prod(layer.tile.m)
    return float(
        sum(s[0] * prod(tile_counts(layer.tile, (s[2], s[3], s[4]))) * per_tile for s in sizes)
    )


@contextmanager
def hooked(model: nn.Module, kinds: Any, hook: Any) -> Iterator[None]:
    """Have `hook` called after the forward pass of all modules of some kinds."""
    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, kinds)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def run(model: nn.Module, example: Any) -> None:
    """One forward pass that leaves no trace: eval mode, no gradients."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            model(example)
    finally:
        for module, mode in modes.items():
            module.training = mode
