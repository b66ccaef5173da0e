"""Networks as inference runs them: Winograd weights made once, not in every forward pass."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videowino.kernels import cpu
from videowino.surgery import replace_modules
from videowino.winograd import Tile, WinogradConv3d, reference, winograd_layers
from videowino.winograd.padding import normalize_padding


def fold(model: nn.Module) -> nn.Module:
    """A copy that computes the same with each Winograd layer's U at hand, pruned as it was.

    In training U follows from what is trained, in every forward pass: from the filter, from the
    factors. At inference it is constant, and the kernels keep it; layers that they do not take
    are replaced by `FoldedConv3d`. Otherwise a parameterization would be timed instead of the
    convolution. Parameters are in PyTorch's usual memory layout, channels first.

    Args:
        model: any network; it is left as it is.

    Returns:
        The copy, in evaluation mode, for inference only.
    """
    folded = deepcopy(model)
    folded.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    layers = [layer for layer in winograd_layers(folded).values() if not _kept_by_kernels(layer)]
    replace_modules(folded, {layer: FoldedConv3d(layer) for layer in layers})
    return folded.eval().requires_grad_(False)


def _kept_by_kernels(layer: WinogradConv3d) -> bool:
    return layer.gate.device.type == "cpu" and cpu.takes(layer.gate.dtype, layer.tile)


class FoldedConv3d(nn.Module):
    """A Winograd layer by the plain-PyTorch reference, holding nothing but its kept columns.

    Args:
        layer: what to compute; it may go away afterwards.

    Attributes:
        weight: (P', C_out, C_in), U over the kept columns.
        columns: (P',) which they are; None if all.
    """

    def __init__(self, layer: WinogradConv3d) -> None:
        super().__init__()
        u = layer.winograd_weight().permute(2, 0, 1)
        self.tile: Tile = layer.tile
        self.columns = layer.kept_columns
        kept = u if self.columns is None else u[self.columns]
        self.weight = nn.Parameter(kept.contiguous(), requires_grad=False)
        self.bias = layer.bias
        self._mode = layer.padding_mode
        padding = layer.padding if isinstance(layer.padding, str) else tuple(layer.padding)
        self._pads = normalize_padding(padding, layer.tile.taps)

    def forward(self, x: Tensor) -> Tensor:
        """x: N C D H W."""
        pads = self._pads
        if self._mode != "zeros":
            d0, d1, h0, h1, w0, w1 = pads
            x, pads = F.pad(x, (w0, w1, h0, h1, d0, d1), mode=self._mode), (0,) * 6
        _, outputs, inputs = self.weight.shape
        weights = _Packed((outputs, inputs), columns=self.columns, u=self.weight)
        return reference.forward(x, weights, self.bias, self.tile, pads)


@dataclass(frozen=True)
class _Packed(reference.Weights):
    """A Winograd weight that is there already; `u` is (P', C_out, C_in)."""

    u: Tensor | None = None

    def to(self, dtype: torch.dtype) -> _Packed:
        assert self.u is not None
        return replace(self, u=self.u.to(dtype))

    def packed(self, tile: Tile) -> Tensor:
        assert self.u is not None
        return self.u
