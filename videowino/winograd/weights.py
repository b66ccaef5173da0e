"""What a Winograd weight is made of, and the gradients of its parts.

It is the sum of what is given, times the gate, over the kept columns only:

    U = (spatial K^T + winograd + left right) * gate

With blocks of input channels (see `blocks`), U is zero where a column's block is pruned, and gate,
filter transform and `right` may be another for each block, b of B.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from videowino.winograd.blocks import block_slices, sum_channels, to_channels
from videowino.winograd.tile import Tile
from videowino.winograd.transforms import filter_matrix


@dataclass(frozen=True)
class Weights:
    """What a layer's Winograd weight is made of; each part is optional but one.

    Attributes:
        spatial: (C_out, C_in, r_d, r_h, r_w), transformed on the fly.
        transform: (P', taps) or (B, P', taps), the filter transform of the kept columns in place
            of K's rows.
        winograd: (C_out, C_in, P).
        left: (C_out * C_in, s), together with right.
        right: (s, P), or (B, s, P') of the kept columns.
        gate: (P,) or (B, P), one factor per column, or per column and block.
        columns: (P',) int64, the kept columns in ascending order; None keeps all.
        blocks: (B, P') bool, the blocks in which the kept columns are kept; None keeps all.
    """

    channels: tuple[int, int]
    spatial: Tensor | None = None
    transform: Tensor | None = None
    winograd: Tensor | None = None
    left: Tensor | None = None
    right: Tensor | None = None
    gate: Tensor | None = None
    columns: Tensor | None = None
    blocks: Tensor | None = None

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
        """The gates of the kept columns, (P',) or (B, P') contiguous."""
        return None if self.gate is None else self.pick(self.gate, -1).contiguous()

    def kept_right(self) -> Tensor:
        """`right` of the kept columns, (s, P') or (B, s, P')."""
        assert self.right is not None
        return self.right if self.right.dim() == 3 else self.pick(self.right, 1)

    @property
    def differ_by_block(self) -> bool:
        """Whether blocks have filter transforms or factors of their own."""
        return any(part is not None and part.dim() == 3 for part in (self.transform, self.right))

    def filter_rows(self, tile: Tile) -> Tensor:
        """K, or what stands for it, over the kept columns, (P', taps) or (B, P', taps)."""
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
            total = self._add_product(total, *part)
        if self.left is not None:
            total = self._add_product(total, self.kept_right().mT, self.left.T)
        assert total is not None, "a Winograd weight needs at least one part"
        return total

    def packed(self, tile: Tile) -> Tensor:
        """U over the kept columns, (P', C_out, C_in)."""
        return self.gated(self.ungated(tile)).reshape(-1, *self.channels)

    def gated(self, u: Tensor) -> Tensor:
        """Times the gates, and zero in pruned blocks; u: (P', C_out * C_in)."""
        gate = self.kept_gate()
        if gate is not None and gate.dim() == 1:
            u = u * gate[:, None]
        elif gate is not None:
            u = (u.view(-1, *self.channels) * self._of_channels(gate)).flatten(1)
        return self.unpruned(u)

    def unpruned(self, u: Tensor) -> Tensor:
        """Zero in pruned blocks; u: (P', C_out * C_in)."""
        if self.blocks is None:
            return u
        pruned = self._of_channels(~self.blocks)
        return u.view(-1, *self.channels).masked_fill(pruned, 0).flatten(1)

    def gate_gradient(self, products: Tensor) -> Tensor:
        """From a column's products of weight and gradient, (P', C_out * C_in), to the gate's."""
        assert self.gate is not None
        if self.gate.dim() == 1:
            return products.sum(1)
        return sum_channels(products.view(-1, *self.channels).sum(1).T)

    def blockwise(self, x: Tensor, dim: int) -> list[Tensor]:
        """A tensor with C_out * C_in entries along `dim` as one for each block's channels."""
        whole = x.unflatten(dim, self.channels)
        slices = block_slices(self.channels[1])
        return [
            whole.narrow(dim + 1, c.start, c.stop - c.start).flatten(dim, dim + 1) for c in slices
        ]

    def together(self, blocks: list[Tensor], dim: int) -> Tensor:
        """The way back."""
        parts = [block.unflatten(dim, (self.channels[0], -1)) for block in blocks]
        return torch.cat(parts, dim + 1).flatten(dim, dim + 1)

    def _of_channels(self, x: Tensor) -> Tensor:
        """(B, P') to (P', 1, C_in)."""
        return to_channels(x, self.channels[1]).T[:, None]

    def _add_product(self, total: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
        """The sum total + a b; a: (P', k) or (B, P', k), b: (k, C_out * C_in)."""
        if a.dim() == 2:
            return a @ b if total is None else torch.addmm(total, a, b)
        found = [own @ part for own, part in zip(a, self.blockwise(b, 1), strict=True)]
        product = self.together(found, 1)
        return product if total is None else total + product


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
