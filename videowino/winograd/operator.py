"""The operator ``videowino::winograd_conv3d``, and the table of fast paths that it asks.

It is opaque to torch.compile (no graph break) and keeps for backward only its arguments, as conv3d
does: input and parameters, never a transformed tile (and its result, where a ReLU is in it).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from videowino.winograd import reference
from videowino.winograd.checks import check_clip, check_finish, check_like_result, check_weights
from videowino.winograd.finish import Finish
from videowino.winograd.padding import normalize_padding
from videowino.winograd.tile import Tile, Triple
from videowino.winograd.weights import Gradients, Weights

_PARTS = ("x", "spatial", "winograd", "left", "right", "gate", "bias")


class Prepared(Protocol):
    """A convolution of clips of one shape."""

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor | None:
        """The result; None where the weight has changed, or the residual does not fit."""


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
        finish: Finish,
        keep: bool,
    ) -> Tensor:
        """As `reference.forward`; `keep` what is made of the weight for the next call."""

    def prepare(
        self,
        x: Tensor,
        weights: Weights,
        bias: Tensor | None,
        tile: Tile,
        padding: tuple[int, ...],
        finish: Finish,
        watched: Sequence[Tensor],
    ) -> Prepared | None:
        """The same convolution for other clips of the shape and layout of `x`, or None.

        It holds the weight as it is now, and looks at values of `watched` before it uses it.
        """

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
    blocks: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    out_channels: int,
    m: Sequence[int],
    taps: Sequence[int],
    stride: Sequence[int],
    points: str,
    padding: Sequence[int],
    relu: bool,
    weight_bits: int,
    changing: bool,
) -> Tensor:
    """The operator; `changing` says that the weight will not be the same in the next call."""
    weights = Weights(
        (out_channels, x.shape[1]), spatial, transform, winograd, left, right, gate, columns, blocks
    )
    tile = _tile(m, taps, stride, points)
    finish = Finish(residual, relu, weight_bits)
    pads = normalize_padding(padding, tile.taps)
    check_clip(x)
    check_weights(x.device, weights, bias, tile)
    check_finish(x, out_channels, tile, pads, finish)
    return compute(x, weights, bias, tile, pads, finish, keep=not changing)


def compute(
    x: Tensor,
    weights: Weights,
    bias: Tensor | None,
    tile: Tile,
    padding: tuple[int, ...],
    finish: Finish,
    keep: bool,
) -> Tensor:
    """What the operator does, for those that need not go through PyTorch's dispatcher."""
    kernel = _kernel(x, tile)
    with _without_autocast(x):
        if kernel is not None:
            return kernel.forward(x, weights, bias, tile, padding, finish, keep)
        return reference.forward(x, weights, bias, tile, padding, finish)


def prepare(
    x: Tensor,
    weights: Weights,
    bias: Tensor | None,
    tile: Tile,
    padding: tuple[int, ...],
    finish: Finish,
    watched: Sequence[Tensor],
) -> Prepared | None:
    """As `Kernel.prepare`, by the kernel for such clips; None without one."""
    kernel = _kernel(x, tile)
    if kernel is None:
        return None
    return kernel.prepare(x, weights, bias, tile, padding, finish, watched)


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
    blocks: Tensor | None,
    bias: Tensor | None,
    out_channels: int,
    m: Sequence[int],
    taps: Sequence[int],
    stride: Sequence[int],
    points: str,
    padding: Sequence[int],
    need: Sequence[bool],
) -> list[Tensor]:
    """The gradients asked for by `need` (in the order of _PARTS), without gaps."""
    weights = Weights(
        (out_channels, x.shape[1]), spatial, transform, winograd, left, right, gate, columns, blocks
    )
    names = frozenset(name for name, wanted in zip(_PARTS, need, strict=True) if wanted)
    tile = _tile(m, taps, stride, points)
    pads = normalize_padding(padding, tile.taps)
    check_clip(x)
    check_weights(x.device, weights, bias, tile)
    check_like_result("grad", grad, x, out_channels, tile, pads)
    run = (_kernel(x, tile) or reference).backward
    with _without_autocast(x):
        gradients = run(grad, x, weights, tile, pads, names)
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
    alike = gradient.dtype == result.dtype and gradient.stride() == result.stride()
    return gradient if alike else result.copy_(gradient)


@_winograd_conv3d.register_fake
def _(
    x, spatial, transform, winograd, left, right, gate, columns, blocks, bias, residual,
    out_channels, m, taps, stride, points, pad, relu, weight_bits, changing,
):  # fmt: skip
    size = reference.output_size(x.shape, _tile(m, taps, stride, points), tuple(pad))
    layout = reference.memory_layout(x)
    shape = (x.shape[0], out_channels, *size)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)


@_winograd_conv3d_backward.register_fake
def _(
    grad, x, spatial, transform, winograd, left, right, gate, columns, blocks, bias,
    out_channels, m, taps, stride, points, padding, need,
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


# Positions of _PARTS among the operator's tensor arguments; transform, columns and blocks have no
# gradient, and the residual's is that of the sum.
_DIFFERENTIABLE = (0, 1, 3, 4, 5, 6, 9)
_RESIDUAL = 10
# Of the arguments behind the tensors, those that the backward operator takes too.
_GEOMETRY = 6


def _setup_context(ctx, inputs, output) -> None:
    tensors, settings = inputs[: _RESIDUAL + 1], inputs[_RESIDUAL + 1 :]
    ctx.geometry, (ctx.relu, *_) = settings[:_GEOMETRY], settings[_GEOMETRY:]
    ctx.arguments = len(inputs)
    ctx.save_for_backward(*tensors[:_RESIDUAL], output if ctx.relu else None)


def _autograd_backward(ctx, grad):
    *tensors, output = ctx.saved_tensors
    if ctx.relu:
        grad = torch.ops.aten.threshold_backward(grad, output, 0)
    need = [ctx.needs_input_grad[index] for index in _DIFFERENTIABLE]
    gradients: list[Tensor | None] = [None] * ctx.arguments
    if any(need):
        found = torch.ops.videowino.winograd_conv3d_backward(grad, *tensors, *ctx.geometry, need)
        wanted = [index for index, want in zip(_DIFFERENTIABLE, need, strict=True) if want]
        for index, gradient in zip(wanted, found, strict=True):
            gradients[index] = gradient
    if ctx.needs_input_grad[_RESIDUAL]:
        gradients[_RESIDUAL] = grad
    return tuple(gradients)


_winograd_conv3d.register_autograd(_autograd_backward, setup_context=_setup_context)


@cache
def _cached_tile(m: Triple, taps: Triple, stride: Triple, points: str) -> Tile:
    return Tile(m, taps, points, stride)


def _tile(m: Sequence[int], taps: Sequence[int], stride: Sequence[int], points: str) -> Tile:
    return _cached_tile(_triple(m), _triple(taps), _triple(stride), points)


def _triple(values: Sequence[int]) -> Triple:
    d, h, w = values
    return d, h, w
