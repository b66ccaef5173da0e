"""`winograd_conv3d`: the operator ``videowino::winograd_conv3d`` and its Python face.

The operator is opaque to torch.compile (no graph break) and keeps for backward only its
arguments, as conv3d does: input and parameters, never a transformed tile.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from videowino.winograd import reference
from videowino.winograd.observed import is_observed
from videowino.winograd.reference import Gradients, Weights
from videowino.winograd.tile import Tile, Triple, is_whole

_PARTS = ("x", "spatial", "winograd", "left", "right", "gate", "bias")


def winograd_conv3d(
    x: Tensor,
    *,
    out_channels: int,
    tile: Tile,
    spatial: Tensor | None = None,
    transform: Tensor | None = None,
    winograd: Tensor | None = None,
    left: Tensor | None = None,
    right: Tensor | None = None,
    gate: Tensor | None = None,
    columns: Tensor | None = None,
    bias: Tensor | None = None,
    padding: int | str | Sequence[int] = 0,
) -> Tensor:
    """3D convolution (stride 1, one group) by the Winograd algorithm.

    ``U = (spatial K^T + winograd + left right) * gate`` over the kept columns; at least one of
    the three parts is given. Differentiable once in everything but `columns`.

    Args:
        x: N C_in D H W, float16, bfloat16, float32 or float64. Sixteen-bit input is transformed
            and summed in float32. Under autocast it is cast as conv3d's would be.
        out_channels: C_out.
        tile: Outputs per tile, taps and points.
        spatial: (C_out, C_in, r_d, r_h, r_w), an ordinary filter.
        transform: (P', taps), used in place of K's kept rows, not differentiated.
        winograd: (C_out, C_in, P).
        left: (C_out * C_in, s).
        right: (s, P).
        gate: (P,).
        columns: (P',) int64 kept columns; all when None. Pruned columns are not multiplied.
        bias: (C_out,).
        padding: One number, three (d, h, w), six (d0, d1, h0, h1, w0, w1), or "same"/"valid".

    Returns:
        N C_out D' H' W' with D' = D + d0 + d1 - r_d + 1 and so on.

    Raises:
        ValueError: A shape does not fit, no part is given, or the clip is smaller than the kernel.
        TypeError: x holds no floating-point numbers.
    """
    if not x.is_floating_point():
        raise TypeError(f"x is {x.dtype}; convert it first, for example x.float() / 255 for frames")
    if x.dim() != 5:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected N C D H W")
    kept = tile.positions if columns is None else len(columns)
    _check_parts(
        x.shape[1], out_channels, tile, kept, spatial, transform, winograd, left, right, gate, bias
    )
    pads = normalize_padding(padding, tile.taps)
    reference.output_size(x.shape, tile, pads)
    if torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64:
        x = x.to(torch.get_autocast_dtype(x.device.type))
    recording = torch.is_grad_enabled()
    changing = recording and _any_requires_grad(spatial, winograd, left, right)
    recording = recording and (changing or _any_requires_grad(x, gate, bias))
    if not recording and not is_observed(x):
        # Small convolutions take less time than the way through PyTorch's dispatcher.
        weights = Weights(
            (out_channels, x.shape[1]), spatial, transform, winograd, left, right, gate, columns
        )
        return _compute(x, weights, bias, tile, pads, keep=True)
    return torch.ops.videowino.winograd_conv3d(
        x, spatial, transform, winograd, left, right, gate, columns, bias,
        out_channels, list(tile.m), list(tile.taps), tile.points, list(pads), changing,
    )  # fmt: skip


def _any_requires_grad(*parts: Tensor | None) -> bool:
    return any(part is not None and part.requires_grad for part in parts)


def normalize_padding(padding: int | str | Sequence[int], taps: Triple) -> tuple[int, ...]:
    """Padding as six numbers (d0, d1, h0, h1, w0, w1); "same" puts the odd one behind.

    Raises:
        ValueError: Not one, three or six non-negative numbers, "same" or "valid".
    """
    if padding == "valid":
        return (0,) * 6
    if padding == "same":
        return tuple(side for r in taps for side in ((r - 1) // 2, r // 2))
    values: tuple = tuple(padding) if isinstance(padding, Sequence) else (padding,) * 3
    if len(values) not in (3, 6) or not all(is_whole(value) and value >= 0 for value in values):
        raise ValueError(
            f"padding={padding!r} is not one, three or six whole numbers from 0 up, 'same' or "
            "'valid'"
        )
    return tuple(values) if len(values) == 6 else tuple(v for value in values for v in [value] * 2)


def _check_parts(
    in_channels: int,
    out_channels: int,
    tile: Tile,
    kept: int,
    spatial: Tensor | None,
    transform: Tensor | None,
    winograd: Tensor | None,
    left: Tensor | None,
    right: Tensor | None,
    gate: Tensor | None,
    bias: Tensor | None,
) -> None:
    if (left is None) != (right is None):
        raise ValueError("left and right belong together; give both or none")
    if spatial is None and winograd is None and left is None:
        raise ValueError("no weight: give spatial, winograd, or left and right")
    rank = right.shape[0] if right is not None else 0
    for name, value, shape in (
        ("spatial", spatial, (out_channels, in_channels, *tile.taps)),
        ("transform", transform, (kept, prod(tile.taps))),
        ("winograd", winograd, (out_channels, in_channels, tile.positions)),
        ("left", left, (out_channels * in_channels, rank)),
        ("right", right, (rank, tile.positions)),
        ("gate", gate, (tile.positions,)),
        ("bias", bias, (out_channels,)),
    ):
        if value is not None and value.shape != shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; {tile} expects {shape}")


class Kernel(Protocol):
    """A fast path for the devices of one type, as a module or an object has it."""

    def takes(self, dtype: torch.dtype, tile: Tile) -> bool:
        """Whether it computes such a convolution; the reference does where not."""

    def forward(
        self,
        x: Tensor,
        weights: Weights,
        bias: Tensor | None,
        tile: Tile,
        padding: tuple[int, ...],
        keep: bool,
    ) -> Tensor:
        """As `reference.forward`; `keep` what is made of the weight for the next call."""

    def backward(
        self,
        grad: Tensor,
        x: Tensor,
        weights: Weights,
        tile: Tile,
        padding: tuple[int, ...],
        need: frozenset[str],
    ) -> Gradients:
        """As `reference.backward`."""


#: Device type to fast path; `videowino.kernels` fills it.
KERNELS: dict[str, Kernel] = {}


def _kernel(x: Tensor, tile: Tile) -> Kernel | None:
    found = KERNELS.get(x.device.type)
    return found if found is not None and found.takes(x.dtype, tile) else None


def _without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Inside the operator types are its own: sixteen-bit products would round what it sums."""
    if not torch.is_autocast_enabled(x.device.type):
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)


@torch.library.custom_op("videowino::winograd_conv3d", mutates_args=())
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
    changing: bool,
) -> Tensor:
    """The operator; `changing` says that the weight will not be the same in the next call."""
    weights = Weights(
        (out_channels, x.shape[1]), spatial, transform, winograd, left, right, gate, columns
    )
    tile = _tile(m, taps, points)
    return _compute(x, weights, bias, tile, tuple(padding), keep=not changing)


def _compute(
    x: Tensor,
    weights: Weights,
    bias: Tensor | None,
    tile: Tile,
    padding: tuple[int, ...],
    keep: bool,
) -> Tensor:
    kernel = _kernel(x, tile)
    with _without_autocast(x):
        if kernel is not None:
            return kernel.forward(x, weights, bias, tile, padding, keep)
        return reference.forward(x, weights, bias, tile, padding)


@torch.library.custom_op("videowino::winograd_conv3d_backward", mutates_args=())
def _winograd_conv3d_backward(
    grad: Tensor,
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
    need: Sequence[bool],
) -> list[Tensor]:
    """The gradients asked for by `need` (in the order of _PARTS), without gaps."""
    weights = Weights(
        (out_channels, x.shape[1]), spatial, transform, winograd, left, right, gate, columns
    )
    names = frozenset(name for name, wanted in zip(_PARTS, need, strict=True) if wanted)
    tile = _tile(m, taps, points)
    run = (_kernel(x, tile) or reference).backward
    with _without_autocast(x):
        gradients = run(grad, x, weights, tile, tuple(padding), names)
    results = []
    for name, like in zip(_PARTS, (x, spatial, winograd, left, right, gate, bias), strict=True):
        if name in names:
            assert like is not None
            gradient = getattr(gradients, name)
            results.append(gradient if name == "x" else _laid_out_as(like, gradient))
    return results


def _laid_out_as(part: Tensor, gradient: Tensor) -> Tensor:
    """A gradient in its parameter's order of memory, which autograd and optimizers then take."""
    result = torch.empty_like(part)
    return gradient if gradient.stride() == result.stride() else result.copy_(gradient)


@_winograd_conv3d.register_fake
def _(
    x, spatial, transform, winograd, left, right, gate, columns, bias,
    out_channels, m, taps, points, pad, changing,
):  # fmt: skip
    size = reference.output_size(x.shape, _tile(m, taps, points), tuple(pad))
    layout = reference.memory_layout(x)
    shape = (x.shape[0], out_channels, *size)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)


@_winograd_conv3d_backward.register_fake
def _(
    grad, x, spatial, transform, winograd, left, right, gate, columns, bias,
    out_channels, m, taps, points, padding, need,
):  # fmt: skip
    parts = (x, spatial, winograd, left, right, gate, bias)
    return [
        torch.empty_like(
            part,
            memory_format=reference.memory_layout(x) if part is x else torch.preserve_format,
        )
        for part, wanted in zip(parts, need, strict=True)
        if wanted
    ]


# Positions of _PARTS among the operator's tensor arguments; transform and columns have no gradient.
_DIFFERENTIABLE = (0, 1, 3, 4, 5, 6, 8)
_TENSORS = 9


def _setup_context(ctx, inputs, output) -> None:
    tensors, ctx.settings = inputs[:_TENSORS], inputs[_TENSORS:-1]
    ctx.save_for_backward(*tensors)


def _autograd_backward(ctx, grad):
    need = [ctx.needs_input_grad[index] for index in _DIFFERENTIABLE]
    found = torch.ops.videowino.winograd_conv3d_backward(
        grad, *ctx.saved_tensors, *ctx.settings, need
    )
    gradients: list[Tensor | None] = [None] * (_TENSORS + len(ctx.settings) + 1)
    wanted = [index for index, want in zip(_DIFFERENTIABLE, need, strict=True) if want]
    for index, gradient in zip(wanted, found, strict=True):
        gradients[index] = gradient
    return tuple(gradients)


_winograd_conv3d.register_autograd(_autograd_backward, setup_context=_setup_context)


@cache
def _cached_tile(m: Triple, taps: Triple, points: str) -> Tile:
    return Tile(m, taps, points)


def _tile(m: Sequence[int], taps: Sequence[int], points: str) -> Tile:
    return _cached_tile((m[0], m[1], m[2]), (taps[0], taps[1], taps[2]), points)
