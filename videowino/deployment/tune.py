"""The fastest algorithm for each convolution of a network, by measuring it as it will be called."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from videowino.deployment.convolution import FusedConv3d, direct
from videowino.kernels import cpu
from videowino.kernels.chooser import sensible_tiles
from videowino.timing import alternate
from videowino.winograd import Tile, WinogradConv3d, reference
from videowino.winograd.eligibility import ineligible_reason
from videowino.winograd.padding import normalize_padding


class Tuner:
    """Measures each geometry once: layers that differ in their weights alone share what is found.

    Args:
        budget: Seconds for each geometry.
    """

    def __init__(self, budget: float = 0.15) -> None:
        self.budget = budget
        self._known: dict[tuple[object, ...], Tile | None] = {}

    def fused(
        self, conv: nn.Module, clip: Tensor, residual: Tensor | None, relu: bool
    ) -> FusedConv3d:
        """The convolution by its fastest algorithm.

        Args:
            conv: A Winograd layer, whose tile belongs to its columns, or a Conv3d.
            clip: Of the shape and layout to come; values do not matter.
            residual: Likewise, or None.
            relu: Whether a ReLU follows.
        """
        if not isinstance(conv, nn.Conv3d):
            return FusedConv3d(conv, relu)
        key = _key(conv, clip, residual is not None, relu)
        if key not in self._known:
            self._known[key] = self._find(conv, clip, residual, relu)
        return _by(conv, self._known[key], relu)

    def _find(
        self, conv: nn.Conv3d, clip: Tensor, residual: Tensor | None, relu: bool
    ) -> Tile | None:
        tiles: list[Tile | None] = [None, *_tiles(conv, clip)]
        if len(tiles) == 1:
            return None
        # Copies: packed weights are kept one for each weight, and these must not stay.
        layers = {str(tile): _by(deepcopy(conv), tile, relu) for tile in tiles}
        calls: dict[str, Callable[[], object]] = {
            name: _call(layer, clip, residual) for name, layer in layers.items()
        }
        with torch.no_grad():
            times = alternate(calls, budget=self.budget, min_repeats=3, warmup=1)
        return min(tiles, key=lambda tile: times[str(tile)].median)


def _tiles(conv: nn.Conv3d, clip: Tensor) -> list[Tile]:
    if ineligible_reason(conv) is not None or clip.device.type != "cpu":
        return []
    d, h, w = conv.kernel_size
    size = reference.output_size(
        clip.shape, Tile((1, 1, 1), (d, h, w)), normalize_padding(conv.padding, (d, h, w))
    )
    return [tile for tile in sensible_tiles((d, h, w), size) if cpu.takes(clip.dtype, tile)]


def _by(conv: nn.Conv3d, tile: Tile | None, relu: bool) -> FusedConv3d:
    if tile is None:
        return FusedConv3d(direct(conv), relu)
    layer = WinogradConv3d.from_conv(
        conv, tile=tile.m, parameterization="spatial", rank=None, points=tile.points
    )
    return FusedConv3d(layer, relu)


def _call(layer: FusedConv3d, clip: Tensor, residual: Tensor | None) -> Callable[[], object]:
    return lambda: layer(clip, residual)


def _key(conv: nn.Conv3d, clip: Tensor, added: bool, relu: bool) -> tuple[object, ...]:
    return (
        *(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.dilation),
        *(conv.groups, conv.padding, conv.padding_mode, conv.bias is None, added, relu),
        *(tuple(clip.shape), clip.dtype, clip.device.type, torch.get_num_threads()),
    )
