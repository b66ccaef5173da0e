"""What a kernel is told of a convolution (``vw_problem``)."""

import ctypes
from functools import cache, lru_cache
from itertools import pairwise

from videowino.kernels import native
from videowino.winograd.blocks import BLOCK
from videowino.winograd.tile import Tile, Triple

_OUTPUTS = (1, 2, 3, 4, 5, 6)
_TAPS = (1, 2, 3, 4)
_MOST_POSITIONS = 8  # of an axis, in one phase
#: Of sizes: they are counted in 32 bits and rounded up to whole tiles and vectors.
LARGEST = 2**31 - 2**6


@cache
def fits(tile: Tile) -> bool:
    """Whether the kernels compute with such a tile."""
    axes = list(zip(tile.m, tile.phase_taps, strict=True))
    sizes = all(m in _OUTPUTS and r in _TAPS for m, r in axes)
    most = max(m + r - 1 for m, r in axes)
    return sizes and most <= _MOST_POSITIONS and pairs(tile) is not None


@lru_cache(maxsize=4096)
def make_problem(
    shape: tuple[int, ...],
    size: Triple,
    channels_last: tuple[bool, bool],
    out_channels: int,
    columns: bytes | None,
    tile: Tile,
    padding: tuple[int, ...],
    threads: int,
    weight_bits: int = 32,
    blocks: bytes | None = None,
) -> native.Problem:
    """As `native.Problem`.

    Args:
        shape: Of the clip, N C_in D H W.
        size: Of the result, D' H' W'.
        channels_last: Whether the clip's and the result's channels are last in memory.
        out_channels: C_out.
        columns: The kept ones, int64, ascending; None for all.
        tile: One that `fits`.
        padding: (d0, d1, h0, h1, w0, w1).
        threads: To compute with.
        weight_bits: Of the packed weight.
        blocks: (B, P') bool, which blocks of channels the kept columns are kept in; None for all.

    Raises:
        ValueError: A size is beyond what the kernels can count, columns are out of order, or one
            is kept in no block.
    """
    if max(*shape, *size, shape[0] * size[1] * size[2]) > LARGEST:
        raise ValueError(f"input of size {shape} is too large: more than {LARGEST} places")
    problem = native.Problem(batch=shape[0], in_channels=shape[1], out_channels=out_channels)
    points = pairs(tile)
    assert points is not None
    for index, axis in enumerate(problem.axis):
        axis.input, axis.output = shape[2 + index], size[index]
        axis.padding, axis.m = padding[2 * index], tile.m[index]
        axis.taps, axis.stride = tile.taps[index], tile.stride[index]
        axis.points[: len(points[index])] = points[index]
    problem.x_channels_last, problem.y_channels_last = channels_last
    kept = range(tile.positions) if columns is None else memoryview(columns).cast("q")
    if any(b <= a for a, b in pairwise([-1, *kept, tile.positions])):
        raise ValueError(
            f"columns={list(kept)[:8]}... must ascend, each once, within 0 to {tile.positions - 1}"
        )
    problem.columns = len(kept)
    problem.column = (ctypes.c_int32 * len(kept))(*kept)
    if blocks is not None:
        problem.spans, problem.span = _spans(blocks, len(kept), shape[1])
    problem.threads, problem.team, problem.weight_bits = threads, -1, weight_bits
    return problem


def _spans(
    blocks: bytes, columns: int, channels: int
) -> tuple[ctypes.Array[ctypes.c_int32], ctypes.Array[native.Span]]:
    """Neighbouring blocks of each column together, as ``vw_problem`` has them."""
    starts: list[int] = [0]
    found: list[native.Span] = []
    for column in range(columns):
        before = end = 0
        for index, kept in enumerate(blocks[column::columns]):
            if not kept:
                continue
            first = index * BLOCK
            count = min(BLOCK, channels - first)
            if before and end == first:
                found[-1].count += count
            else:
                found.append(native.Span(first, count, before))
            before, end = before + count, first + count
        if not before:
            raise ValueError(
                f"blocks: kept column {column} is kept in no block; leave it out of columns"
            )
        starts.append(len(found))
    return (ctypes.c_int32 * len(starts))(*starts), (native.Span * len(found))(*found)


@cache
def pairs(tile: Tile) -> tuple[tuple[float, ...], ...] | None:
    """The positive points of each axis, where they are 0 (or none) and pairs; else None."""
    axes: list[tuple[float, ...]] = []
    for m, taps, transforms in zip(tile.m, tile.phase_taps, tile.transforms(), strict=True):
        if m == 1 or taps == 1:
            axes.append(())
            continue
        finite = list(transforms.output[1][: m + taps - 2])
        if len(finite) % 2:
            if finite.pop(0) != 0:
                return None
        positive = finite[::2]
        if finite[1::2] != [-p for p in positive]:
            return None
        axes.append(tuple(float(p) for p in positive))
    return tuple(axes)
