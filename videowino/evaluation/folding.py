"""Networks as inference runs them: Winograd weights made once, not in every forward pass."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from videowino.winograd import WinogradConv3d, winograd_layers


def fold(model: nn.Module) -> nn.Module:
    """A copy that computes the same with each Winograd layer's U at hand, pruned as it was.

    In training U follows from what is trained, in every forward pass: from the filter, from the
    factors. At inference it is constant. Without folding, a parameterization would be timed
    instead of the convolution. Parameters are in PyTorch's usual memory layout (channels first),
    in which dense networks run fastest on a CPU without gradients.

    Args:
        model: any network; it is left as it is.

    Returns:
        The copy, in evaluation mode, for inference only.
    """
    folded = deepcopy(model)
    folded.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    swaps = {layer: _with_weight_at_hand(layer) for layer in winograd_layers(folded).values()}
    for parent in list(folded.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, WinogradConv3d):
                parent._modules[name] = swaps[child]
    return folded.eval().requires_grad_(False)


def _with_weight_at_hand(layer: WinogradConv3d) -> WinogradConv3d:
    own = WinogradConv3d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        padding=layer.padding,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
        tile=layer.tile.m,
        parameterization="vanilla",
        points=layer.tile.points or None,
        device=layer.gate.device,
        dtype=layer.gate.dtype,
    )
    u = layer.winograd_weight()
    assert own.column_scale is not None
    # Stored by columns, which is how the convolution reads it: the layer then transposes nothing.
    stored = (u / own.column_scale).permute(2, 0, 1).contiguous().permute(1, 2, 0)
    own.weight = nn.Parameter(stored, requires_grad=False)
    own.bias = layer.bias
    own.set_column_mask(layer.column_mask, compensate=False)
    return own
