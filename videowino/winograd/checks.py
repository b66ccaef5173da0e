"""What is refused before anything is computed: kernels trust the sizes that they are given."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from videowino.winograd.blocks import block_count
from videowino.winograd.finish import WEIGHT_BITS, Finish, MaxPool
from videowino.winograd.reference import output_size
from videowino.winograd.tile import Tile
from videowino.winograd.weights import Weights


def check_clip(x: Tensor) -> None:
    """Raise TypeError or ValueError where `x` is no clip of floating-point numbers N C D H W."""
    if not x.is_floating_point():
        raise TypeError(f"x is {x.dtype}; convert it first, for example x.float() / 255 for frames")
    if x.dim() != 5:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected N C D H W")


def check_weights(device: torch.device, weights: Weights, bias: Tensor | None, tile: Tile) -> None:
    """Raise ValueError where a part is missing, elsewhere, or of another shape."""
    left, right = weights.left, weights.right
    if (left is None) != (right is None):
        raise ValueError("left and right belong together; give both or none")
    if weights.spatial is None and weights.winograd is None and left is None:
        raise ValueError("no weight: give spatial, winograd, or left and right")
    out_channels, in_channels = weights.channels
    kept = tile.positions if weights.columns is None else len(weights.columns)
    rank = right.shape[-2] if right is not None and right.dim() > 1 else 0
    count = block_count(in_channels)
    for name, value, shape, by_block in (
        ("spatial", weights.spatial, (out_channels, in_channels, *tile.taps), None),
        ("transform", weights.transform, (kept, prod(tile.taps)), (count, kept, prod(tile.taps))),
        ("winograd", weights.winograd, (out_channels, in_channels, tile.positions), None),
        ("left", left, (out_channels * in_channels, rank), None),
        ("right", right, (rank, tile.positions), (count, rank, kept)),
        ("gate", weights.gate, (tile.positions,), (count, tile.positions)),
        ("blocks", weights.blocks, (count, kept), None),
        ("bias", bias, (out_channels,), None),
    ):
        if value is None:
            continue
        if value.device != device:
            raise ValueError(f"{name} is on {value.device}, x on {device}; move one to the other")
        if value.shape != shape and value.shape != by_block:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; {tile} expects {shape}")
    blocks = weights.blocks
    if blocks is not None and blocks.dtype != torch.bool:
        raise ValueError(f"blocks is {blocks.dtype}; give a mask, bool {tuple(blocks.shape)}")


def check_like_result(
    name: str, part: Tensor, x: Tensor, out_channels: int, tile: Tile, pads: tuple[int, ...]
) -> None:
    """Raise ValueError where `part` has not the result's shape, or is elsewhere."""
    shape = (x.shape[0], out_channels, *output_size(x.shape, tile, pads))
    if part.shape != shape:
        raise ValueError(f"{name} has shape {tuple(part.shape)}; the result has {shape}")
    if part.device != x.device:
        raise ValueError(f"{name} is on {part.device}, x on {x.device}; move one to the other")


def check_pool(pool: MaxPool | None, m: Sequence[int], residual: Tensor | None) -> None:
    """Raise ValueError where a convolution by tiles of m outputs cannot pool its result."""
    if pool is None:
        return
    if residual is not None:
        raise ValueError("a residual is added before pooling, and not with it: pool afterwards")
    if not pool.fits(m):
        raise ValueError(
            f"windows of {pool.window} reach over tiles of {tuple(m)}: pool afterwards"
        )


def check_finish(
    x: Tensor, out_channels: int, tile: Tile, pads: tuple[int, ...], finish: Finish
) -> None:
    """Raise ValueError where residual or pooling do not fit the result, or bits are unknown.

    Args:
        x: N C_in D H W.
        out_channels: C_out.
        tile: Of the convolution.
        pads: (d0, d1, h0, h1, w0, w1).
        finish: To check.
    """
    if finish.residual is not None:
        check_like_result("residual", finish.residual, x, out_channels, tile, pads)
    if finish.weight_bits not in WEIGHT_BITS:
        raise ValueError(f"weight_bits={finish.weight_bits!r} is unknown; choose 32 or 16")
    if finish.weight_bits == 16 and max(tile.stride) > 1:
        raise ValueError(f"weight_bits=16 is for stride 1, and {tile} has another; leave it at 32")
    check_pool(finish.pool, tile.m, finish.residual)
