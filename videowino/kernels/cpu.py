"""The CPU kernel of the operator: which convolutions it takes, and how they are handed over.

x: N C_in D H W;  U packed: see csrc/gemm.h;  y: N C_out D' H' W', in x's memory layout.
"""

import ctypes
from functools import cache, lru_cache

import torch
from torch import Tensor

from videowino.kernels import native
from videowino.kernels.memory import pool
from videowino.kernels.packed import PackedWeights, pack
from videowino.winograd import WinogradConv3d, reference
from videowino.winograd.reference import Gradients, Weights
from videowino.winograd.tile import Tile

_OUTPUTS = (1, 2, 3, 4, 6)
_TAPS = (1, 2, 3)
_LARGEST = 2**31 - 1
_weights = PackedWeights()


def takes(dtype: torch.dtype, tile: Tile) -> bool:
    """Whether the kernel is there and computes such a convolution; it leaves float64."""
    return dtype != torch.float64 and _fits(tile) and native.library() is not None


@cache
def _fits(tile: Tile) -> bool:
    sizes = all(m in _OUTPUTS and r in _TAPS for m, r in zip(tile.m, tile.taps, strict=True))
    return sizes and _pairs(tile) is not None


def forward(
    x: Tensor,
    weights: Weights,
    bias: Tensor | None,
    tile: Tile,
    padding: tuple[int, ...],
    keep: bool = False,
) -> Tensor:
    """The convolution by the kernel; summed in float32, returned in x's type and layout.

    Args:
        x: N C_in D H W.
        weights: What U is made of.
        bias: (C_out,).
        tile: One that the kernel takes (`takes`).
        padding: (d0, d1, h0, h1, w0, w1).
        keep: Keep the packed weight for the next call (see `PackedWeights`).

    Raises:
        ValueError: A size is beyond what the kernel can count.
        MemoryError: No memory for the blocks of tiles.
    """
    library = native.library()
    assert library is not None
    layout = reference.memory_layout(x)
    clip = x.float().contiguous(memory_format=layout)
    problem, shape = _problem_of(x, weights.channels[0], weights.columns, tile, padding)
    packed = _weights.get(weights, tile, problem, library, keep)
    y = pool.empty(shape, layout)
    bias = None if bias is None else bias.float().contiguous()
    epilogue = native.Epilogue(None if bias is None else bias.data_ptr(), None, 0)
    if y.numel() and library.vw_forward(
        problem, clip.data_ptr(), packed.data_ptr(), epilogue, y.data_ptr()
    ):
        raise MemoryError(f"no memory for the blocks of a Winograd convolution {tile}")
    return y.to(x.dtype)


def backward(
    grad: Tensor,
    x: Tensor,
    weights: Weights,
    tile: Tile,
    padding: tuple[int, ...],
    need: frozenset[str],
) -> Gradients:
    """As `reference.backward`, by the kernel.

    Raises:
        ValueError: A size is beyond what the kernel can count.
        MemoryError: No memory for the blocks of tiles.
    """
    library = native.library()
    assert library is not None
    layout = reference.memory_layout(x)
    clip = x.float().contiguous(memory_format=layout)
    dy = grad.float().contiguous(memory_format=layout)
    single = weights.to(torch.float32)
    problem, _ = _problem_of(x, weights.channels[0], weights.columns, tile, padding)
    dx = packed = du = None
    ungated = single.ungated(tile) if need & {"x", "gate"} else None
    if "x" in need:
        assert ungated is not None
        dx = pool.empty(x.shape, layout)
        u = ungated.reshape(-1, *weights.channels).mT  # C_in is what comes out
        gate = None if single.gate is None else single.pick(single.gate, 0)
        swapped = native.Problem.from_buffer_copy(problem)
        swapped.in_channels, swapped.out_channels = weights.channels
        packed = pack(u, gate, swapped, library)
    if need - {"x", "bias"}:
        du = pool.flat(library.vw_packed_size(problem))
    if (dx is not None or du is not None) and dy.numel():
        pointers = [None if part is None else part.data_ptr() for part in (packed, dx, du)]
        if library.vw_backward(problem, clip.data_ptr(), dy.data_ptr(), *pointers):
            raise MemoryError(f"no memory for the blocks of a Winograd convolution {tile}")
    parts: dict[str, Tensor] = {}
    if du is not None:
        # Columns next to each other, as parameters have them.
        out_channels, in_channels = weights.channels
        full = pool.flat(out_channels * in_channels * problem.columns)
        full = full.view(*weights.channels, -1).permute(2, 0, 1)
        if dy.numel():
            library.vw_unpack(problem, du.data_ptr(), *full.stride(), full.data_ptr())
        else:
            full.zero_()
        parts = reference.weight_gradients(full, single, weights, tile, need, ungated)
    if "bias" in need:
        parts["bias"] = dy.sum((0, 2, 3, 4))
    return Gradients(x=None if dx is None else dx.to(x.dtype), **parts)


def workspace(x: Tensor, layer: WinogradConv3d) -> int:
    """Bytes that the kernel keeps for a layer's blocks of tiles, over all threads."""
    library = native.library()
    assert library is not None
    problem, _ = _problem_of(x, layer.out_channels, layer.kept_columns, layer.tile, layer.pads)
    return library.vw_workspace(problem)


def _problem_of(
    x: Tensor, out_channels: int, columns: Tensor | None, tile: Tile, padding: tuple[int, ...]
) -> tuple[native.Problem, tuple[int, ...]]:
    return _problem(
        tuple(x.shape),
        reference.memory_layout(x) == torch.channels_last_3d,
        out_channels,
        None if columns is None else columns.numpy().tobytes(),
        tile,
        padding,
        torch.get_num_threads(),
    )


@lru_cache(maxsize=4096)
def _problem(
    shape: tuple[int, ...],
    channels_last: bool,
    out_channels: int,
    columns: bytes | None,
    tile: Tile,
    padding: tuple[int, ...],
    threads: int,
) -> tuple[native.Problem, tuple[int, ...]]:
    """What the kernel is told, and the result's shape; columns: the kept ones, int64."""
    size = reference.output_size(shape, tile, padding)
    if max(*shape, *size, shape[0] * size[1] * size[2]) > _LARGEST:
        raise ValueError(f"input of size {shape} is too large: more than {_LARGEST} places")
    problem = native.Problem(batch=shape[0], in_channels=shape[1], out_channels=out_channels)
    pairs = _pairs(tile)
    assert pairs is not None
    for index, axis in enumerate(problem.axis):
        axis.input, axis.output = shape[2 + index], size[index]
        axis.padding, axis.m, axis.taps = padding[2 * index], tile.m[index], tile.taps[index]
        axis.points[: len(pairs[index])] = pairs[index]
    problem.x_channels_last = problem.y_channels_last = channels_last
    kept = range(tile.positions) if columns is None else memoryview(columns).cast("q")
    problem.columns = len(kept)
    problem.column = (ctypes.c_int32 * len(kept))(*kept)
    problem.threads, problem.team = threads, -1
    return problem, (shape[0], out_channels, *size)


@cache
def _pairs(tile: Tile) -> tuple[tuple[float, ...], ...] | None:
    """The positive points of each axis, where they are 0 (or none) and pairs; else None."""
    axes: list[tuple[float, ...]] = []
    for m, taps, transforms in zip(tile.m, tile.taps, tile.transforms(), strict=True):
        if m == 1 or taps == 1:
            axes.append(())
            continue
        finite = list(transforms.output[1][:-1])
        if len(finite) % 2:
            if finite.pop(0) != 0:
                return None
        positive = finite[::2]
        if finite[1::2] != [-p for p in positive]:
            return None
        axes.append(tuple(float(p) for p in positive))
    return tuple(axes)
