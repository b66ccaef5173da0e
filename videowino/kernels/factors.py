"""Weights made of a filter and low-rank factors: to U and back without anything else of U's size.

U over the kept columns (P', C_out * C_in) = rows (P', terms) parts (terms, C_out * C_in), with the
filter transform beside `right` in the rows, and the filter's taps beside `left` in the parts.
"""

import ctypes
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from videowino.kernels.memory import pool
from videowino.kernels.native import MOST_RANK, MOST_TAPS, Problem, address
from videowino.kernels.native import Factors as NativeFactors
from videowino.winograd.blocks import block_count
from videowino.winograd.tile import Tile
from videowino.winograd.weights import Weights


@dataclass(frozen=True)
class Factors:
    """``vw_factors``, all float32 and contiguous.

    Attributes:
        rows: (P', terms), or (B, P', terms) by blocks of input channels.
        scale: (P',), (B, P') or None.
        spatial: (C_out, C_in, r_d, r_h, r_w) or None.
        left: (C_out * C_in, s) or None.
    """

    rows: Tensor
    scale: Tensor | None
    spatial: Tensor | None
    left: Tensor | None

    @classmethod
    def of(cls, weights: Weights, tile: Tile) -> "Factors | None":
        """None where the weight is not only factors, or has more terms than the kernel takes."""
        if weights.winograd is not None:
            return None
        parts = weights.to(torch.float32)
        rows, spatial, left = [], None, None
        if parts.spatial is not None:
            spatial = parts.spatial.contiguous()
            rows.append(parts.filter_rows(tile))
        if parts.left is not None:
            left = parts.left.contiguous()
            rows.append(parts.kept_right().mT)
        if prod(tile.taps) > MOST_TAPS or (left is not None and left.shape[1] > MOST_RANK):
            return None
        if weights.differ_by_block:
            blocks = block_count(weights.channels[1])
            rows = [part.expand(blocks, -1, -1) for part in rows]
        return cls(torch.cat(rows, -1), parts.kept_gate(), spatial, left)

    def native(self) -> NativeFactors:
        """What to hand over; it holds addresses, so keep the tensors."""
        spatial, left = self.spatial, self.left
        return NativeFactors(
            self.rows.data_ptr(),
            self.rows.stride(0) if self.rows.dim() == 3 else 0,
            address(self.scale),
            address(spatial),
            0 if spatial is None else prod(spatial.shape[2:]),
            address(left),
            0 if left is None else left.shape[1],
        )

    def expand(self, problem: Problem, library: ctypes.CDLL) -> Tensor:
        """U without the scale, (P', C_out, C_in)."""
        shape = (problem.columns, problem.out_channels, problem.in_channels)
        u = pool.flat(prod(shape)).view(shape)
        library.vw_expand(problem, self.native(), u.data_ptr())
        return u

    def contract(
        self, du: Tensor, need: frozenset[str], problem: Problem, library: ctypes.CDLL
    ) -> dict[str, Tensor]:
        """Gradients of `spatial` and `left` from du (P', C_out, C_in), contiguous."""
        found = {
            name: torch.empty_like(part, memory_format=torch.contiguous_format)
            for name, part in (("spatial", self.spatial), ("left", self.left))
            if name in need and part is not None
        }
        if found:
            addresses = [found[n].data_ptr() if n in found else None for n in ("spatial", "left")]
            library.vw_contract(problem, self.native(), du.data_ptr(), *addresses)
        return found
