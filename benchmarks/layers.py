"""The convolutions that video networks really have, for benchmarks.conv3d."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from videowino.models import create_model
from videowino.winograd import WinogradConv3d
from videowino.winograd.columns import select_columns
from videowino.winograd.eligibility import ineligible_reason
from videowino.winograd.tile import Triple
from videowino.winograd.transforms import tile_counts

NETWORKS = {"c3d": (16, 112, 112), "r3d_18": (16, 112, 112), "i3d": (16, 224, 224)}


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
    def operations(self) -> int:
        """Floating-point operations of the direct convolution of one clip."""
        return 2 * self.in_channels * self.out_channels * math.prod((*self.taps, *self.size))

    def output_bytes(self, batch: int) -> int:
        """Of the result in float32."""
        return 4 * batch * self.out_channels * math.prod(self.size)


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


def pruned(
    layer: Layer, tile: Sequence[int], share: float, parameterization: str = "spatial"
) -> WinogradConv3d:
    """The Winograd layer with the best share of its columns, by magnitude; low rank: 8."""
    rank = {"low_rank": 8, "factored": math.prod(layer.taps)}.get(parameterization)
    made = WinogradConv3d.from_conv(
        conv_of(layer), tile=tile, parameterization=parameterization, rank=rank
    ).eval()
    if share < 1:
        made.set_column_mask(select_columns({"": made.scores("magnitude")}, 1 - share)[""])
    return made


def products(layer: Layer, module: WinogradConv3d, batch: int) -> float:
    """Floating-point operations of the element-wise products."""
    per_tile = 2 * module.columns_kept * layer.in_channels * layer.out_channels
    return float(per_tile * batch * math.prod(tile_counts(module.tile, layer.size)))


def moved_bytes(layer: Layer, columns: int, batch: int) -> int:
    """What must be moved: clip and weight of so many columns read, result written, once each."""
    clip = batch * math.prod(layer.size) * (layer.in_channels + layer.out_channels)
    return 4 * (clip + columns * layer.in_channels * layer.out_channels)
