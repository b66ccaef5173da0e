"""A Winograd layer without kernels, as inference runs it: U made once, not at each call."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videowino.winograd import Tile, WinogradConv3d, reference
from videowino.winograd.finish import Finish
from videowino.winograd.weights import Weights


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
        self._pads = layer.pads

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        """relu(conv(x) + residual), x: N C D H W."""
        pads = self._pads
        if self._mode != "zeros":
            d0, d1, h0, h1, w0, w1 = pads
            x, pads = F.pad(x, (w0, w1, h0, h1, d0, d1), mode=self._mode), (0,) * 6
        _, outputs, inputs = self.weight.shape
        weights = _Packed((outputs, inputs), columns=self.columns, u=self.weight)
        finish = Finish(residual, relu)
        return reference.forward(x, weights, self.bias, self.tile, pads, finish)


@dataclass(frozen=True)
class _Packed(Weights):
    """A Winograd weight that is there already; `u` is (P', C_out, C_in)."""

    u: Tensor | None = None

    def to(self, dtype: torch.dtype) -> _Packed:
        assert self.u is not None
        return replace(self, u=self.u.to(dtype))

    def packed(self, tile: Tile) -> Tensor:
        assert self.u is not None
        return self.u
