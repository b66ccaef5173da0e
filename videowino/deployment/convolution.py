"""A convolution with what follows it: bias, residual, ReLU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from videowino.fastest import OneDnnConv3d
from videowino.winograd import WinogradConv3d


class FusedConv3d(nn.Module):
    """relu(conv(x) + residual), in as few passes over memory as the convolution allows.

    Args:
        conv: A Winograd layer, which does all of it in one pass, or another convolution, whose
            result is changed in place.
        relu: Whether there is a ReLU.

    Attributes:
        columns: "36/144" for a Winograd layer, else "".
    """

    def __init__(self, conv: nn.Module, relu: bool) -> None:
        super().__init__()
        self.conv, self.relu = conv, relu

    @property
    def algorithm(self) -> str:
        """What computes it: a tile, or "direct"."""
        return str(self.conv.tile) if isinstance(self.conv, WinogradConv3d) else "direct"

    @property
    def columns(self) -> str:
        """Columns kept, of how many."""
        if not isinstance(self.conv, WinogradConv3d):
            return ""
        return f"{self.conv.columns_kept}/{self.conv.columns}"

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """x: N C_in D H W;  residual: as the result."""
        if isinstance(self.conv, WinogradConv3d):
            return self.conv.fused(x, residual, self.relu)
        y = self.conv(x)
        if residual is not None:
            y += residual
        return y.relu_() if self.relu else y


def direct(conv: nn.Conv3d) -> nn.Module:
    """The same convolution by oneDNN where it can be named, channels last in memory."""
    conv = conv.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return OneDnnConv3d(conv) if OneDnnConv3d.fits(conv) else conv


def is_plain(module: nn.Module | None) -> bool:
    """Whether it is a convolution that nothing else reaches into: no hooks, no parametrization.

    Others stay as they are.
    """
    if not isinstance(module, nn.Conv3d | WinogradConv3d) or is_parametrized(module):
        return False
    own = isinstance(module, WinogradConv3d) or _is_stock(module)
    return own and not module._forward_hooks and not module._forward_pre_hooks


def _is_stock(conv: nn.Conv3d) -> bool:
    forward, inner = type(conv).forward, type(conv)._conv_forward
    return forward is nn.Conv3d.forward and inner is nn.Conv3d._conv_forward
