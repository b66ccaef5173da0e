"""The CPU kernel of the operator: which convolutions it takes, and how they are handed over.

x: N C_in D H W;  U packed: see csrc/gemm.h;  y: N C_out D' H' W', in x's memory layout.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from videowino.kernels import native
from videowino.kernels.factors import Factors
from videowino.kernels.memory import pool
from videowino.kernels.native import address
from videowino.kernels.packed import PackedWeights, Plain, plain
from videowino.kernels.prepared import Prepared
from videowino.kernels.problem import fits, make_problem
from videowino.kernels.watch import Watch
from videowino.winograd import reference
from videowino.winograd.blocks import block_count
from videowino.winograd.finish import PLAIN, Finish
from videowino.winograd.tile import Tile
from videowino.winograd.weights import Gradients, Weights

_weights = PackedWeights()


def takes(dtype: torch.dtype, tile: Tile) -> bool:
    """Whether the kernel is there and computes such a convolution; it leaves float64."""
    return dtype != torch.float64 and fits(tile) and native.library() is not None


def forward(
    x: Tensor,
    weights: Weights,
    bias: Tensor | None,
    tile: Tile,
    padding: tuple[int, ...],
    finish: Finish = PLAIN,
    keep: bool = False,
) -> Tensor:
    """The convolution by the kernel; summed in float32, returned in x's type and layout.

    Args:
        x: N C_in D H W.
        weights: What U is made of.
        bias: (C_out,).
        tile: One that the kernel takes (`takes`).
        padding: (d0, d1, h0, h1, w0, w1).
        finish: What becomes of the sums, and how the weight is stored.
        keep: Keep the packed weight for the next call (see `PackedWeights`).

    Raises:
        ValueError: A size is beyond what the kernel can count.
        MemoryError: No memory for the blocks of tiles.
    """
    library = native.library()
    assert library is not None
    layout = reference.memory_layout(x)
    problem, shape = _problem_of(x, weights, tile, padding, finish.weight_bits)
    shape = finish.shape_of(shape)
    if 0 in shape:
        return x.new_empty(shape)
    clip = x.float().contiguous(memory_format=layout)
    packed = _weights.get(weights, tile, problem, library, keep)
    y = pool.empty(shape, layout)
    bias = None if bias is None else bias.float().contiguous()
    residual = finish.residual
    residual = None if residual is None else residual.float().contiguous(memory_format=layout)
    epilogue = native.epilogue(bias, residual, finish)
    if library.vw_forward(problem, clip.data_ptr(), packed.data_ptr(), epilogue, y.data_ptr()):
        raise MemoryError(f"no memory for the blocks of a Winograd convolution {tile}")
    return y.to(x.dtype)


def prepare(
    x: Tensor,
    weights: Weights,
    bias: Tensor | None,
    tile: Tile,
    padding: tuple[int, ...],
    finish: Finish,
    watched: Sequence[Tensor],
) -> Prepared | None:
    """The same convolution for clips like `x`, float32 and without gaps, or None.

    Args:
        x: N C_in D H W.
        weights: What U is made of.
        bias: (C_out,).
        tile: One that the kernel takes (`takes`).
        padding: (d0, d1, h0, h1, w0, w1).
        finish: How the weight is stored, ReLU and pooling; residuals come with clips.
        watched: Tensors that the weight was made of; their values are looked at in each call.
    """
    library = native.library()
    assert library is not None
    layout = reference.memory_layout(x)
    plain = x.dtype == torch.float32 and x.is_contiguous(memory_format=layout)
    if bias is not None:
        plain = plain and bias.dtype == torch.float32 and bias.is_contiguous()
    seen = [Watch.of(part) for part in watched]
    problem, shape = _problem_of(x, weights, tile, padding, finish.weight_bits)
    shape = finish.shape_of(shape)
    if not plain or 0 in shape or any(watch is None for watch in seen):
        return None
    packed = _weights.get(weights, tile, problem, library, keep=True)
    return Prepared(
        shape, layout, problem, packed, bias, finish, [watch for watch in seen if watch]
    )


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
    problem, _ = _problem_of(x, weights, tile, padding)
    clip = x.float().contiguous(memory_format=layout)
    dy = grad.float().contiguous(memory_format=layout)
    factors = Factors.of(weights, tile) if need - {"bias"} else None
    u = None
    if need & {"x", "gate"} and dy.numel():
        u = plain(weights, tile, factors, problem, library).by_rows()
    dx = pool.empty(x.shape, layout) if "x" in need else None
    du = _gradient_of(weights, tile, need) if need - {"x", "bias"} else None
    gate = None
    if "gate" in need:
        assert weights.gate is not None
        shape = (*weights.gate.shape[:-1], problem.columns)
        gate = torch.zeros(shape, dtype=torch.float32, device="cpu")
    if not dy.numel():
        for part in (dx, None if du is None else du.values):
            if part is not None:
                part.zero_()
    elif (dx is not None or du is not None) and library.vw_backward(
        problem,
        clip.data_ptr(),
        dy.data_ptr(),
        None if u is None else u.native(),
        address(dx),
        None if du is None else du.native(),
        address(gate),
    ):
        raise MemoryError(f"no memory for the blocks of a Winograd convolution {tile}")
    parts: dict[str, Tensor] = {}
    if du is not None:
        parts = _parts_of(du, gate, weights, tile, need)
        if factors is not None:
            found = factors.contract(du.values, need, problem, library)
            parts |= {name: value.to(getattr(weights, name).dtype) for name, value in found.items()}
        rest = (need & {"spatial", "left", "right"}) - set(parts)
        if rest:
            kept = du.values.flatten(1)
            kept = kept if du.place is None else weights.pick(kept, 0)
            single = weights.to(torch.float32)
            parts |= reference.part_gradients(kept, single, weights, tile, rest)
    if "bias" in need:
        parts["bias"] = dy.sum((0, 2, 3, 4))
    return Gradients(x=None if dx is None else dx.to(x.dtype), **parts)


def _gradient_of(weights: Weights, tile: Tile, need: frozenset[str]) -> Plain:
    """Memory for U's gradient: all columns, zero where pruned, for `winograd`; else kept ones."""
    columns, scale = weights.columns, weights.to(torch.float32).kept_gate()
    if columns is None or "winograd" not in need:
        count = tile.positions if columns is None else len(columns)
        return Plain(
            pool.flat(count * prod(weights.channels)).view(count, *weights.channels), None, scale
        )
    values = pool.flat(tile.positions * prod(weights.channels))
    values = values.view(tile.positions, *weights.channels)
    pruned = torch.ones(tile.positions, dtype=torch.bool, device="cpu").index_fill_(
        0, columns, False
    )
    values.index_fill_(0, pruned.nonzero().flatten(), 0)
    return Plain(values, columns.to(torch.int32), scale)


def _parts_of(
    du: Plain,
    gate: Tensor | None,
    weights: Weights,
    tile: Tile,
    need: frozenset[str],
) -> dict[str, Tensor]:
    parts: dict[str, Tensor] = {}
    if gate is not None:
        assert weights.gate is not None
        parts["gate"] = weights.spread(gate, -1, tile.positions).to(weights.gate.dtype)
    if "winograd" in need:
        assert weights.winograd is not None
        parts["winograd"] = du.values.permute(1, 2, 0).to(weights.winograd.dtype)
    return parts


def _has_gates_by_block(weights: Weights) -> bool:
    return weights.gate is not None and weights.gate.dim() == 2


def _problem_of(
    x: Tensor,
    weights: Weights,
    tile: Tile,
    padding: tuple[int, ...],
    weight_bits: int = 32,
) -> tuple[native.Problem, tuple[int, ...]]:
    columns, blocks, out_channels = weights.columns, weights.blocks, weights.channels[0]
    if blocks is None and (weights.differ_by_block or _has_gates_by_block(weights)):
        count = tile.positions if columns is None else len(columns)
        blocks = torch.ones(block_count(weights.channels[1]), count, dtype=torch.bool)
    if columns is not None and (columns.dtype != torch.int64 or columns.dim() != 1):
        raise ValueError(
            f"columns is {columns.dtype} {tuple(columns.shape)}; give the kept ones' numbers, "
            "int64 (P',), as mask.nonzero().flatten() does"
        )
    size = reference.output_size(x.shape, tile, padding)
    last = reference.memory_layout(x) == torch.channels_last_3d
    problem = make_problem(
        tuple(x.shape),
        size,
        (last, last),
        out_channels,
        None if columns is None else columns.numpy().tobytes(),
        tile,
        padding,
        torch.get_num_threads(),
        weight_bits,
        None if blocks is None else blocks.contiguous().numpy().tobytes(),
    )
    return problem, (x.shape[0], out_channels, *size)
