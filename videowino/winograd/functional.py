"""`winograd_conv3d`: the Python face of the operator ``videowino::winograd_conv3d``."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from videowino.winograd import reference
from videowino.winograd.finish import PLAIN, Finish
from videowino.winograd.observed import is_observed
from videowino.winograd.operator import compute
from videowino.winograd.reference import Weights
from videowino.winograd.tile import Tile, Triple, is_whole


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
    residual: Tensor | None = None,
    relu: bool = False,
    weight_bits: int = 32,
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
        residual: As the result; added after the bias.
        relu: Whether negative results become zero, after the residual.
        weight_bits: 16 rounds U to whole numbers with a scale for each column (see `Finish`), for
            inference where reading wide weights is what takes the time; gradients pass it by.

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
        x.device,
        x.shape[1],
        out_channels,
        tile,
        kept,
        spatial,
        transform,
        winograd,
        left,
        right,
        gate,
        bias,
    )
    pads = normalize_padding(padding, tile.taps)
    size = reference.output_size(x.shape, tile, pads)
    finish = PLAIN
    if residual is not None or relu or weight_bits != 32:
        finish = Finish(residual, relu, weight_bits)
        finish.check((x.shape[0], out_channels, *size))
    if torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64:
        x = x.to(torch.get_autocast_dtype(x.device.type))
    recording = torch.is_grad_enabled()
    changing = recording and _any_requires_grad(spatial, winograd, left, right)
    recording = recording and (changing or _any_requires_grad(x, gate, bias, residual))
    if not recording and not is_observed(x):
        # Small convolutions take less time than the way through PyTorch's dispatcher.
        weights = Weights(
            (out_channels, x.shape[1]), spatial, transform, winograd, left, right, gate, columns
        )
        return compute(x, weights, bias, tile, pads, finish, keep=True)
    return torch.ops.videowino.winograd_conv3d(
        x, spatial, transform, winograd, left, right, gate, columns, bias, residual,
        out_channels, list(tile.m), list(tile.taps), tile.points, list(pads), relu, weight_bits,
        changing,
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
    device: torch.device,
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
        if value is None:
            continue
        if value.device != device:
            raise ValueError(f"{name} is on {value.device}, x on {device}; move one to the other")
        if value.shape != shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; {tile} expects {shape}")
