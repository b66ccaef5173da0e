"""The Winograd convolution in plain PyTorch, forward and backward, without autograd.

This is the definition that every kernel is tested against.

x: N C D H W;  U packed: P' C_out C_in with P' kept columns;  V: P' (N T) C_in;  M: P' (N T) C_out.
Blocks of channels that a column is pruned in are zeros of U, which are multiplied here.
Inside, clips are N D H W C (see `transforms`); both memory layouts of x are taken and kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from videowino.winograd.finish import PLAIN, Finish, rounded
from videowino.winograd.tile import Tile, Triple
from videowino.winograd.transforms import (
    from_winograd,
    from_winograd_adjoint,
    tile_counts,
    to_winograd,
    to_winograd_adjoint,
)
from videowino.winograd.weights import Gradients, Weights

# Samples are processed in groups of about this many transformed elements (4 MB in float32): what
# one step writes is then still in cache when the next reads it, which is twice as fast as whole
# batches, and the largest layers of C3D at batch 8 do not take gigabytes.
_GROUP_ELEMENTS = 1 << 20
# Products for the gate's gradient are summed by so many weights of a column: no second U is made.
_SUMMED = 1 << 12
_CHANNELS_LAST = (0, 2, 3, 4, 1)
_CHANNELS_FIRST = (0, 4, 1, 2, 3)


def output_size(shape: Sequence[int], tile: Tile, padding: tuple[int, ...]) -> Triple:
    """Output depth, height, width for an N C D H W; padding is (d0, d1, h0, h1, w0, w1).

    Raises:
        ValueError: The padded input is smaller than the kernel.
    """
    d, h, w = (
        (size + padding[2 * axis] + padding[2 * axis + 1] - tile.taps[axis]) // tile.stride[axis]
        + 1
        for axis, size in enumerate(shape[2:])
    )
    if d < 1 or h < 1 or w < 1:
        raise ValueError(
            f"input of size {tuple(shape[2:])} with padding {padding} is smaller than the "
            f"kernel {tile.taps}; use a larger clip or more padding"
        )
    return d, h, w


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Sixteen-bit input is transformed and summed in float32: the transforms amplify rounding."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def forward(
    x: Tensor,
    weights: Weights,
    bias: Tensor | None,
    tile: Tile,
    padding: tuple[int, ...],
    finish: Finish = PLAIN,
) -> Tensor:
    """The convolution; returns N C_out D' H' W', pooled if so, in x's dtype and memory layout."""
    dtype = compute_dtype(x.dtype)
    size = output_size(x.shape, tile, padding)
    u = weights.to(dtype).packed(tile)
    if finish.weight_bits == 16:
        u = rounded(u)
    residual = None if finish.residual is None else finish.residual.to(dtype)
    y = _empty_like(x, finish.shape_of((x.shape[0], weights.channels[0], *size)))
    for group in _groups(x, tile, size, weights.channels):
        v = _input_tiles(x[group].to(dtype), weights, tile, padding, size)
        products = torch.bmm(v.flatten(1, 4), u.mT).reshape(*v.shape[:5], -1)
        out = _crop(from_winograd(weights.spread(products, 0, tile.positions), tile), size)
        if bias is not None:
            out = out + bias.to(dtype)
        out = out.permute(_CHANNELS_FIRST)
        y[group] = replace(finish, residual=None if residual is None else residual[group])(out)
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
    size = output_size(x.shape, tile, padding)
    u = weights.packed(tile)
    du = u.new_zeros(u.shape) if need - {"x", "bias"} else None
    dx = _empty_like(x, x.shape) if "x" in need else None
    for group in _groups(x, tile, size, weights.channels):
        dm = _output_grad_tiles(grad[group].to(dtype), weights, tile, size)
        if du is not None:
            v = _input_tiles(x[group].to(dtype), weights, tile, padding, size)
            du.baddbmm_(dm.flatten(1, 4).mT, v.flatten(1, 4))
            del v
        if dx is not None:
            dv = torch.bmm(dm.flatten(1, 4), u).reshape(*dm.shape[:5], -1)
            tiled = to_winograd_adjoint(weights.spread(dv, 0, tile.positions), tile)
            dx[group] = _unpad(tiled, x, padding).permute(_CHANNELS_FIRST)
    parts = weight_gradients(du, weights, given, tile, need) if du is not None else {}
    if "bias" in need:
        parts["bias"] = grad.to(dtype).sum((0, 2, 3, 4))
    return Gradients(x=dx, **parts)


def weight_gradients(
    du: Tensor, weights: Weights, given: Weights, tile: Tile, need: frozenset[str]
) -> dict[str, Tensor]:
    """From dLoss/dU over the kept columns to gate and parts that U is made of.

    Args:
        du: (P', C_out, C_in); overwritten.
        weights: The parts, in du's type.
        given: The parts in their own types, which the gradients get.
        tile: As in `forward`.
        need: Which fields of `Gradients` to compute.
    """
    du = weights.unpruned(du.flatten(1))
    parts: dict[str, Tensor] = {}
    if "gate" in need:
        assert given.gate is not None
        parts["gate"] = weights.spread(_gate_gradient(du, weights, tile), -1, tile.positions).to(
            given.gate.dtype
        )
    if weights.gate is not None and weights.gate.dim() == 1:
        du *= weights.pick(weights.gate, 0)[:, None]
    elif weights.gate is not None:
        du = weights.gated(du)
    return parts | part_gradients(du, weights, given, tile, need)


def _gate_gradient(du: Tensor, weights: Weights, tile: Tile) -> Tensor:
    assert weights.gate is not None
    if weights.gate.dim() == 2:
        return weights.gate_gradient(du * weights.ungated(tile))
    pairs = zip(du.split(_SUMMED, 1), weights.ungated(tile).split(_SUMMED, 1), strict=True)
    return torch.stack([weights.gate_gradient(a * b) for a, b in pairs]).sum(0)


def part_gradients(
    du: Tensor, weights: Weights, given: Weights, tile: Tile, need: frozenset[str]
) -> dict[str, Tensor]:
    """From the gradient of the parts' sum, (P', C_out * C_in), to that of each; as above."""
    parts: dict[str, Tensor] = {}
    if "spatial" in need:
        assert weights.spatial is not None
        filters = _part_gradient(du, weights, weights.filter_rows(tile))
        parts["spatial"] = filters.reshape(weights.spatial.shape)
    if "winograd" in need:
        assert weights.winograd is not None
        full = weights.spread(du.T, 1, tile.positions)
        parts["winograd"] = full.reshape(weights.winograd.shape)
    if "left" in need:
        parts["left"] = _part_gradient(du, weights, weights.kept_right().mT)
    if "right" in need:
        assert weights.left is not None and weights.right is not None
        if weights.right.dim() == 2:
            parts["right"] = weights.spread((du @ weights.left).T, 1, tile.positions)
        else:
            pairs = zip(weights.blockwise(du, 1), weights.blockwise(weights.left, 0), strict=True)
            parts["right"] = torch.stack([(d @ left).T for d, left in pairs])
    return {name: value.to(getattr(given, name).dtype) for name, value in parts.items()}


def _part_gradient(du: Tensor, weights: Weights, rows: Tensor) -> Tensor:
    """Of a part that U is made of with rows, (P', k) or (B, P', k); returns (C_out * C_in, k)."""
    if rows.dim() == 2:
        return du.T @ rows
    pairs = zip(weights.blockwise(du, 1), rows, strict=True)
    return weights.together([d.T @ own for d, own in pairs], 0)


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
    """V over the kept columns: P' N T_d T_h T_w C_in."""
    counts = tile_counts(tile, size)
    whole = [(t - 1) * s + n for t, s, n in zip(counts, tile.step, tile.samples, strict=True)]
    padded = _padded(x, [padding[0], padding[2], padding[4]], whole)
    return weights.pick(to_winograd(padded, tile), 0)


def _output_grad_tiles(grad: Tensor, weights: Weights, tile: Tile, size: Triple) -> Tensor:
    """dLoss/dM over the kept columns: P' N T_d T_h T_w C_out."""
    whole = [t * m for t, m in zip(tile_counts(tile, size), tile.m, strict=True)]
    padded = _padded(grad, [0, 0, 0], whole)
    return weights.pick(from_winograd_adjoint(padded, tile), 0)


def _padded(x: Tensor, before: list[int], whole: list[int]) -> Tensor:
    """N C D H W to N D H W C, zeros before and as many after as whole tiles need.

    What no tile reaches, beyond the last stride, is cut off.
    """
    out = x.new_zeros((x.shape[0], *whole, x.shape[1]))
    d, h, w = _inside(x.shape[2:], before, whole)
    out[:, d, h, w] = x.permute(_CHANNELS_LAST)[
        :, : d.stop - d.start, : h.stop - h.start, : w.stop - w.start
    ]
    return out


def _inside(size: Sequence[int], before: Sequence[int], whole: Sequence[int]) -> list[slice]:
    """Where a clip lies in its padded volume."""
    return [
        slice(start, max(start, min(start + length, end)))
        for start, length, end in zip(before, size, whole, strict=True)
    ]


def _crop(y: Tensor, size: Triple) -> Tensor:
    return y[:, : size[0], : size[1], : size[2]]


def _unpad(tiled: Tensor, x: Tensor, padding: tuple[int, ...]) -> Tensor:
    """N D H W C of the padded, whole-tile volume back to the input's extent."""
    d, h, w = _inside(x.shape[2:], padding[::2], tiled.shape[1:4])
    inside = tiled[:, d, h, w]
    if inside.shape[1:4] == x.shape[2:]:
        return inside
    out = tiled.new_zeros((len(tiled), *x.shape[2:], x.shape[1]))
    out[:, : inside.shape[1], : inside.shape[2], : inside.shape[3]] = inside
    return out


def _empty_like(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Uninitialised, in x's dtype and memory layout."""
    layout = memory_layout(x)
    return torch.empty(tuple(shape), dtype=x.dtype, device=x.device, memory_format=layout)


def memory_layout(x: Tensor) -> torch.memory_format:
    """Whether a clip's channels are last in memory."""
    last = torch.channels_last_3d
    is_last = x.is_contiguous(memory_format=last) and not x.is_contiguous()
    return last if is_last else torch.contiguous_format
