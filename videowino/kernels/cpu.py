"""The CPU kernel of the operator: which convolutions it takes, and how they are handed over.

x: N C_in D H W;  U packed: see csrc/gemm.h;  y: N C_out D' H' W', in x's memory layout.
"""

import ctypes
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from videowino.kernels import native
from videowino.kernels.packed import PackedWeights
from videowino.winograd import functional, reference
from videowino.winograd.reference import Weights
from videowino.winograd.tile import Tile

_OUTPUTS = (1, 2, 3, 4, 6)
_TAPS = (1, 2, 3)
_LARGEST = 2**31 - 1
_weights = PackedWeights()


@functional.operator.register_kernel("cpu")
def _winograd_conv3d(
    x: Tensor,
    spatial: Tensor | None,
    transform: Tensor | None,
    winograd: Tensor | None,
    left: Tensor | None,
    right: Tensor | None,
    gate: Tensor | None,
    columns: Tensor | None,
    bias: Tensor | None,
    out_channels: int,
    m: Sequence[int],
    taps: Sequence[int],
    points: str,
    padding: Sequence[int],
) -> Tensor:
    weights = Weights(
        (out_channels, x.shape[1]), spatial, transform, winograd, left, right, gate, columns
    )
    tile = functional.cached_tile(tuple(m), tuple(taps), points)
    built = takes(x.dtype, tile) and native.library() is not None
    with functional.without_autocast(x):
        return (forward if built else reference.forward)(x, weights, bias, tile, tuple(padding))


def takes(dtype: torch.dtype, tile: Tile) -> bool:
    """Whether the kernel computes such a convolution; float64 is left to the reference."""
    sizes = all(m in _OUTPUTS and r in _TAPS for m, r in zip(tile.m, tile.taps, strict=True))
    return sizes and dtype != torch.float64 and _pairs(tile) is not None


def forward(
    x: Tensor, weights: Weights, bias: Tensor | None, tile: Tile, padding: tuple[int, ...]
) -> Tensor:
    """The convolution by the kernel; summed in float32, returned in x's type and layout.

    Raises:
        ValueError: A size is beyond what the kernel can count.
        MemoryError: No memory for the blocks of tiles.
    """
    library = native.library()
    assert library is not None
    layout = reference.memory_layout(x)
    clip = x.float().contiguous(memory_format=layout)
    problem = _problem(clip, weights, tile, padding)
    packed = _weights.get(weights, tile, problem, library)
    size = reference.output_size(x, tile, padding)
    shape = (x.shape[0], weights.channels[0], *size)
    y = torch.empty(shape, dtype=torch.float32, memory_format=layout)
    bias = None if bias is None else bias.float().contiguous()
    epilogue = native.Epilogue(None if bias is None else bias.data_ptr(), None, 0)
    if y.numel() and library.vw_forward(
        problem, clip.data_ptr(), packed.data_ptr(), epilogue, y.data_ptr()
    ):
        raise MemoryError(f"no memory for the blocks of a Winograd convolution {tile}")
    return y.to(x.dtype)


def _problem(
    x: Tensor, weights: Weights, tile: Tile, padding: tuple[int, ...]
) -> native.Problem:
    size = reference.output_size(x, tile, padding)
    if max(*x.shape, *size, x.shape[0] * size[1] * size[2]) > _LARGEST:
        raise ValueError(f"input of size {tuple(x.shape)} is too large: beyond {_LARGEST} per axis")
    problem = native.Problem(
        batch=x.shape[0], in_channels=x.shape[1], out_channels=weights.channels[0]
    )
    pairs = _pairs(tile)
    assert pairs is not None
    for index, axis in enumerate(problem.axis):
        axis.input, axis.output = x.shape[2 + index], size[index]
        axis.padding, axis.m, axis.taps = padding[2 * index], tile.m[index], tile.taps[index]
        axis.points[: len(pairs[index])] = pairs[index]
    last = reference.memory_layout(x) == torch.channels_last_3d
    problem.x_channels_last = problem.y_channels_last = last
    kept = range(tile.positions) if weights.columns is None else weights.columns.tolist()
    problem.columns = len(kept)
    problem.column = (ctypes.c_int32 * len(kept))(*kept)
    problem.threads, problem.team = torch.get_num_threads(), -1
    return problem


@lru_cache(maxsize=None)
def _pairs(tile: Tile) -> tuple[tuple[float, ...], ...] | None:
    """The positive points of each axis, where they are 0 (or none) and pairs; else None."""
    axes = []
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
