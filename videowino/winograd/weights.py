"""What a Winograd weight is made of, and the gradients of its parts.

It is the sum of what is given, times the gate, over the kept columns only:

    U = (spatial K^T + winograd + left right) * gate
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from videowino.winograd.tile import Tile
from videowino.winograd.transforms import filter_matrix


@dataclass(frozen=True)
class Weights:
    """What a layer's Winograd weight is made of; each part is optional but one.

    Attributes:
        spatial: (C_out, C_in, r_d, r_h, r_w), transformed on the fly.
        transform: (P', taps), the filter transform of the kept columns in place of K's rows.
        winograd: (C_out, C_in, P).
        left: (C_out * C_in, s), together with right.
        right: (s, P).
        gate: (P,), one factor per column.
        columns: (P',) int64, the kept columns in ascending order; None keeps all.
    """

    channels: tuple[int, int]
    spatial: Tensor | None = None
    transform: Tensor | None = None
    winograd: Tensor | None = None
    left: Tensor | None = None
    right: Tensor | None = None
    gate: Tensor | None = None
    columns: Tensor | None = None

    def to(self, dtype: torch.dtype) -> "Weights":
        """The same with every floating part in `dtype`."""
        parts = {
            name: value.to(dtype)
            for name in ("spatial", "transform", "winograd", "left", "right", "gate")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **parts)

    def pick(self, x: Tensor, dim: int) -> Tensor:
        """The kept columns of a tensor with P entries along `dim`."""
        return x if self.columns is None else x.index_select(dim, self.columns)

    def spread(self, kept: Tensor, dim: int, positions: int) -> Tensor:
        """The transpose of `pick`: zeros at the pruned columns."""
        if self.columns is None:
            return kept
        shape = list(kept.shape)
        shape[dim] = positions
        return kept.new_zeros(shape).index_copy_(dim, self.columns, kept)

    def kept_gate(self) -> Tensor | None:
        """The gates of the kept columns, (P',) contiguous."""
        return None if self.gate is None else self.pick(self.gate, 0).contiguous()

    def filter_rows(self, tile: Tile) -> Tensor:
        """K, or what stands for it, over the kept columns, (P', taps)."""
        assert self.spatial is not None
        if self.transform is not None:
            return self.transform
        return self.pick(filter_matrix(tile, self.spatial.dtype, self.spatial.device), 0)

    def ungated(self, tile: Tile) -> Tensor:
        """The sum of the parts over the kept columns, (P', C_out * C_in)."""
        total: Tensor | None = None
        if self.winograd is not None:
            total = self.pick(self.winograd.flatten(0, 1), 1).T
        if self.spatial is not None:
            part = self.filter_rows(tile), self.spatial.flatten(2).flatten(0, 1).T
            total = _add_product(total, *part)
        if self.left is not None:
            assert self.right is not None
            total = _add_product(total, self.pick(self.right, 1).T, self.left.T)
        assert total is not None, "a Winograd weight needs at least one part"
        return total

    def packed(self, tile: Tile) -> Tensor:
        """U over the kept columns, (P', C_out, C_in)."""
        u = self.ungated(tile)
        if self.gate is not None:
            u = u * self.pick(self.gate, 0)[:, None]
        return u.reshape(-1, *self.channels)


@dataclass(frozen=True)
class Gradients:
    """Gradients of `Weights` and of input and bias; None where not asked for."""

    x: Tensor | None = None
    spatial: Tensor | None = None
    winograd: Tensor | None = None
    left: Tensor | None = None
    right: Tensor | None = None
    gate: Tensor | None = None
    bias: Tensor | None = None


def _add_product(total: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    return a @ b if total is None else torch.addmm(total, a, b)
