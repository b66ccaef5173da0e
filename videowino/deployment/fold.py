"""Batch normalisation in evaluation scales and shifts channels, as a convolution can do itself."""

from __future__ import annotations

import torch
from torch import nn

from videowino.winograd import WinogradConv3d

Convolution = nn.Conv3d | WinogradConv3d


@torch.no_grad()
def fold_batch_norm(conv: Convolution, norm: nn.BatchNorm3d) -> None:
    """Change `conv`, in place, to compute norm(conv(x)).

    Args:
        conv: A convolution of C_out channels. Every part that a Winograd weight may be made of is
            linear in its C_out, so its parameterization, gates and columns stay as they are.
        norm: With running statistics.

    Raises:
        ValueError: It has none.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("the batch normalisation keeps no running statistics: it cannot be folded")
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    shift = -norm.running_mean.double() * scale
    if norm.weight is not None:
        scale, shift = scale * norm.weight, shift * norm.weight
    if norm.bias is not None:
        shift = shift + norm.bias
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    for name in ("weight", "left"):
        part = getattr(conv, name, None)
        if part is None:
            continue
        rows = part.shape[0] // conv.out_channels  # left: C_in of them for each output channel
        each = scale.repeat_interleave(rows).to(part)
        scaled = part * each.view(-1, *[1] * (part.dim() - 1))
        # Another tensor, not this one changed: convolutions may share theirs.
        if name in conv._parameters:
            scaled = nn.Parameter(scaled, requires_grad=False)
        setattr(conv, name, scaled)
    like = conv.weight if conv.weight is not None else norm.running_mean
    conv.bias = nn.Parameter(shift.to(like), requires_grad=False)
