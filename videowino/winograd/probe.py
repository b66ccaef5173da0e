"""What pruned columns would be worth, from the gradients of training as it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from videowino.winograd.weights import Weights

if TYPE_CHECKING:
    from videowino.winograd.layers import WinogradConv3d


class ColumnProbe:
    """Gates of a layer's columns, 1 where kept and 0 where pruned, with gradients for both.

    The layer computes what it did, now with all columns, so that the gradient of a pruned column's
    gate is <U_p, dLoss/dU_p> for the weight U_p that the column would come back with: the
    first-order change of the loss if it came back, as the Taylor score is that if it went
    (regrowth by gradients: Evci et al., "Rigging the Lottery", arXiv 1911.11134).

    Args:
        layer: a Winograd layer, in training.
    """

    def __init__(self, layer: WinogradConv3d) -> None:
        gate = layer.column_mask.to(layer.winograd_weight().dtype)
        self.gate = gate.requires_grad_()
        self._squares = torch.zeros_like(gate)
        self._steps = 0

    def parts(self, layer: WinogradConv3d) -> dict[str, Tensor | None]:
        """The operands of `winograd_conv3d` that make up U, for the layer to compute with."""
        channels = layer.out_channels, layer.in_channels
        own = layer._parts()
        kept = Weights(channels, **own).packed(layer.tile).permute(1, 2, 0)
        whole = layer.winograd_weight(masked=False)
        columns = own["columns"]
        if columns is None:
            whole = kept
        else:
            whole = whole.index_copy(2, columns, kept)
        nothing = dict.fromkeys(own)
        return nothing | {"winograd": whole, "gate": self.gate}

    @torch.no_grad()
    def gather(self) -> None:
        """Take up the gradients of a step, unless some are not finite."""
        gradient, self.gate.grad = self.gate.grad, None
        if gradient is not None and bool(gradient.isfinite().all()):
            self._squares += gradient.square()
            self._steps += 1

    @property
    def scores(self) -> Tensor:
        """(P,), root mean square over steps, as Taylor scores are; zero before the first."""
        return (self._squares / max(1, self._steps)).sqrt()
