"""The Winograd convolution in plain PyTorch, forward and backward, without autograd.

This is the definition that every kernel is tested against. The Winograd weight is the sum of
what is given, times the gate, over the kept columns only:

    U = (spatial K^T + winograd + left right) * gate

x: N C D H W;  U packed: P' C_out C_in with P' kept columns;  V: P' C_in (N T);  M: P' C_out (N T).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from videowino.winograd.tile import Tile, Triple
from videowino.winograd.transforms import (
    filter_matrix,
    from_winograd,
    from_winograd_adjoint,
    tile_counts,
    to_winograd,
    to_winograd_adjoint,
)

# Samples are processed in groups of about this many transformed elements (4 MB in float32): what
# one step writes is then still in cache when the next reads it, which is twice as fast as whole
# batches, and the largest layers of C3D at batch 8 do not take gigabytes.
_GROUP_ELEMENTS = 1 << 20


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

    def filter_rows(self, tile: Tile) -> Tensor:
        """K, or what stands for it, over the kept columns, (P', taps)."""
        assert self.spatial is not None
        if self.transform is not None:
            return self.transform
        return self.pick(filter_matrix(tile, self.spatial.dtype, self.spatial.device), 0)

    def ungated(self, tile: Tile) -> Tensor:
        """The sum of the parts over the kept columns, (P', C_out * C_in)."""
        total: Tensor | None = None
        if self.spatial is not None:
            total = self.filter_rows(tile) @ self.spatial.flatten(2).flatten(0, 1).T
        if self.winograd is not None:
            part = self.pick(self.winograd.flatten(0, 1), 1).T
            total = part if total is None else total + part
        if self.left is not None:
            assert self.right is not None
            part = self.pick(self.right, 1).T @ self.left.T
            total = part if total is None else total + part
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


def output_size(x: Tensor, tile: Tile, padding: tuple[int, ...]) -> Triple:
    """Output depth, height, width; padding is (d0, d1, h0, h1, w0, w1).

    Raises:
        ValueError: The padded input is smaller than the kernel.
    """
    padded = [s + padding[2 * i] + padding[2 * i + 1] for i, s in enumerate(x.shape[2:])]
    d, h, w = (size - r + 1 for size, r in zip(padded, tile.taps, strict=True))
    if min(d, h, w) < 1:
        raise ValueError(
            f"input of size {tuple(x.shape[2:])} with padding {padding} is smaller than the "
            f"kernel {tile.taps}; use a larger clip or more padding"
        )
    return d, h, w


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Sixteen-bit input is transformed and summed in float32: the transforms amplify rounding."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def forward(
    x: Tensor, weights: Weights, bias: Tensor | None, tile: Tile, padding: tuple[int, ...]
) -> Tensor:
    """The convolution; returns N C_out D' H' W' contiguous in x's dtype."""
    dtype = compute_dtype(x.dtype)
    size = output_size(x, tile, padding)
    u = weights.to(dtype).packed(tile)
    y = x.new_empty((x.shape[0], weights.channels[0], *size))
    for group in _groups(x, tile, size, weights.channels):
        v = _input_tiles(x[group].to(dtype), weights, tile, padding, size)
        products = torch.bmm(u, v.flatten(2)).reshape(u.shape[0], u.shape[1], *v.shape[2:])
        out = from_winograd(weights.spread(products, 0, tile.positions), tile)
        out = _crop(out, size).transpose(0, 1)
        y[group] = out if bias is None else out + bias.to(dtype).reshape(-1, 1, 1, 1)
    return y


def backward(
    grad: Tensor,
    x: Tensor,
    weights: Weights,
    tile: Tile,
    padding: tuple[int, ...],
    need: frozenset[str],
) -> Gradients:
    """Gradients of the convolution; the transformed tiles are computed again, not kept.

    Args:
        grad: Gradient of the output, N C_out D' H' W'.
        x: The input, N C_in D H W.
        weights: As in `forward`.
        tile: As in `forward`.
        padding: As in `forward`.
        need: Which fields of `Gradients` to compute.
    """
    dtype = compute_dtype(x.dtype)
    given, weights = weights, weights.to(dtype)
    size = output_size(x, tile, padding)
    u = weights.packed(tile)
    du = u.new_zeros(u.shape) if need - {"x", "bias"} else None
    dx = x.new_empty(x.shape) if "x" in need else None
    for group in _groups(x, tile, size, weights.channels):
        dm = _output_grad_tiles(grad[group].to(dtype), weights, tile, size)
        if du is not None:
            v = _input_tiles(x[group].to(dtype), weights, tile, padding, size)
            du.baddbmm_(dm.flatten(2), v.flatten(2).mT)
            del v
        if dx is not None:
            dv = torch.bmm(u.mT, dm.flatten(2)).reshape(u.shape[0], u.shape[2], *dm.shape[2:])
            tiled = to_winograd_adjoint(weights.spread(dv, 0, tile.positions), tile)
            dx[group] = _unpad(tiled, x, padding).transpose(0, 1)
    parts = _weight_gradients(du, weights, given, tile, need) if du is not None else {}
    if "bias" in need:
        parts["bias"] = grad.to(dtype).sum((0, 2, 3, 4))
    return Gradients(x=dx, **parts)


def _weight_gradients(
    du: Tensor, weights: Weights, given: Weights, tile: Tile, need: frozenset[str]
) -> dict[str, Tensor]:
    """From dLoss/dU over the kept columns to the parts that U is made of."""
    du = du.flatten(1)
    parts: dict[str, Tensor] = {}
    if "gate" in need:
        parts["gate"] = weights.spread((du * weights.ungated(tile)).sum(1), 0, tile.positions)
    if weights.gate is not None:
        du = du * weights.pick(weights.gate, 0)[:, None]
    if "spatial" in need:
        assert weights.spatial is not None
        parts["spatial"] = (du.T @ weights.filter_rows(tile)).reshape(weights.spatial.shape)
    if "winograd" in need:
        assert weights.winograd is not None
        full = weights.spread(du.T, 1, tile.positions)
        parts["winograd"] = full.reshape(weights.winograd.shape)
    if "left" in need:
        assert weights.right is not None
        parts["left"] = du.T @ weights.pick(weights.right, 1).T
    if "right" in need:
        assert weights.left is not None
        parts["right"] = weights.spread((du @ weights.left).T, 1, tile.positions)
    return {name: value.to(getattr(given, name).dtype) for name, value in parts.items()}


def _groups(x: Tensor, tile: Tile, size: Triple, channels: tuple[int, int]) -> Iterator[slice]:
    tiles = 1
    for count in tile_counts(tile, size):
        tiles *= count
    per_sample = tile.positions * tiles * max(channels)
    step = max(1, _GROUP_ELEMENTS // max(1, per_sample))
    for start in range(0, x.shape[0], step):
        yield slice(start, start + step)


def _input_tiles(
    x: Tensor, weights: Weights, tile: Tile, padding: tuple[int, ...], size: Triple
) -> Tensor:
    """V over the kept columns: P' C_in N T_d T_h T_w."""
    extra = _overhang(tile, size)
    d0, d1, h0, h1, w0, w1 = padding
    padded = F.pad(x, (w0, w1 + extra[2], h0, h1 + extra[1], d0, d1 + extra[0]))
    return weights.pick(to_winograd(padded.transpose(0, 1), tile), 0)


def _output_grad_tiles(grad: Tensor, weights: Weights, tile: Tile, size: Triple) -> Tensor:
    """dLoss/dM over the kept columns: P' C_out N T_d T_h T_w."""
    extra = _overhang(tile, size)
    padded = F.pad(grad, (0, extra[2], 0, extra[1], 0, extra[0]))
    return weights.pick(from_winograd_adjoint(padded.transpose(0, 1), tile), 0)


def _overhang(tile: Tile, size: Triple) -> Triple:
    """Outputs computed beyond the end, per axis, because tiles are whole."""
    d, h, w = (-s % m for s, m in zip(size, tile.m, strict=True))
    return d, h, w


def _crop(y: Tensor, size: Triple) -> Tensor:
    return y[:, :, : size[0], : size[1], : size[2]]


def _unpad(tiled: Tensor, x: Tensor, padding: tuple[int, ...]) -> Tensor:
    """C N of the padded, whole-tile volume back to the input's extent."""
    d, h, w = x.shape[2:]
    d0, _, h0, _, w0, _ = padding
    return tiled[:, :, d0 : d0 + d, h0 : h0 + h, w0 : w0 + w]
