"""`winograd_conv3d`: the Python face of the operator ``videowino::winograd_conv3d``."""

from collections.abc import Sequence

import torch
from torch import Tensor

from videowino.winograd.checks import check_clip, check_finish, check_weights
from videowino.winograd.finish import PLAIN, Finish, MaxPool
from videowino.winograd.observed import is_observed
from videowino.winograd.operator import compute
from videowino.winograd.padding import normalize_padding
from videowino.winograd.tile import Tile
from videowino.winograd.weights import Weights


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
    blocks: Tensor | None = None,
    bias: Tensor | None = None,
    padding: int | str | Sequence[int] = 0,
    residual: Tensor | None = None,
    relu: bool = False,
    weight_bits: int = 32,
    pool: MaxPool | None = None,
) -> Tensor:
    """3D convolution (one group, no dilation) by the Winograd algorithm.

    ``U = (spatial K^T + winograd + left right) * gate`` over the kept columns; at least one of
    the three parts is given. Differentiable once in everything but `columns` and `blocks`.

    Args:
        x: N C_in D H W, float16, bfloat16, float32 or float64. Sixteen-bit input is transformed
            and summed in float32. Under autocast it is cast as conv3d's would be.
        out_channels: C_out.
        tile: Outputs per tile, taps, strides and points.
        spatial: (C_out, C_in, r_d, r_h, r_w), an ordinary filter.
        transform: (P', taps), used in place of K's kept rows, not differentiated; (B, P', taps)
            with one for each of B blocks of 16 input channels.
        winograd: (C_out, C_in, P).
        left: (C_out * C_in, s).
        right: (s, P); or (B, s, P') by blocks, of the kept columns.
        gate: (P,), or (B, P) by blocks.
        columns: (P',) int64 kept columns; all when None. Pruned columns are not multiplied.
        blocks: (B, P') bool, the blocks of 16 input channels that each kept column is kept in, at
            least one; all when None. The CPU kernel does not multiply the others.
        bias: (C_out,).
        padding: One number, three (d, h, w), six (d0, d1, h0, h1, w0, w1), or "same"/"valid".
        residual: As the result; added after the bias.
        relu: Whether negative results become zero, after the residual.
        weight_bits: 16 rounds U to whole numbers with a scale for each column (see `Finish`), for
            inference where reading wide weights is what takes the time; gradients pass it by.
        pool: Max pooling after all of it, in the same pass over memory where nothing is recorded;
            without residual, and by windows that do not reach over tiles.

    Returns:
        N C_out D' H' W', before pooling with D' = (D + d0 + d1 - r_d) // s_d + 1 and so on.

    Raises:
        ValueError: A shape does not fit, no part is given, or the clip is smaller than the kernel.
        TypeError: x holds no floating-point numbers.
    """
    check_clip(x)
    weights = Weights(
        (out_channels, x.shape[1]), spatial, transform, winograd, left, right, gate, columns, blocks
    )
    check_weights(x.device, weights, bias, tile)
    pads = normalize_padding(padding, tile.taps)
    finish = PLAIN
    if residual is not None or relu or weight_bits != 32 or pool is not None:
        finish = Finish(residual, relu, weight_bits, pool)
    check_finish(x, out_channels, tile, pads, finish)
    if torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64:
        x = x.to(torch.get_autocast_dtype(x.device.type))
    recording = torch.is_grad_enabled()
    changing = recording and _any_requires_grad(spatial, winograd, left, right)
    recording = recording and (changing or _any_requires_grad(x, gate, bias, residual))
    if not recording and not is_observed(x):
        # Small convolutions take less time than the way through PyTorch's dispatcher.
        return compute(x, weights, bias, tile, pads, finish, keep=True)
    y = torch.ops.videowino.winograd_conv3d(
        x, spatial, transform, winograd, left, right, gate, columns, blocks, bias, residual,
        out_channels, list(tile.m), list(tile.taps), list(tile.stride), tile.points, list(pads),
        relu, weight_bits, changing,
    )  # fmt: skip
    return y if pool is None else pool(y)


def _any_requires_grad(*parts: Tensor | None) -> bool:
    return any(part is not None and part.requires_grad for part in parts)
