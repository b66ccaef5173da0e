"""oneDNN's convolution with its weight laid out beforehand, and ReLU in it.

PyTorch's own call lays the weight out anew each time, which can take as long as the convolution.
The operators here are those that PyTorch's compiler uses; they are not public, so that where they
are missing or changed, the public one computes.

x: N C_in D H W, channels last in memory, as is the result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videowino.fastest import OneDnnConv3d

_Settings = tuple[list[int], list[int], list[int], int]  # padding, stride, dilation, groups
_MOST_SHAPES = 16  # that a weight is laid out for


class PackedConv3d:
    """relu(conv(x) + residual).

    Args:
        conv: One that `fits`; its weight must not change.
        relu: Whether there is a ReLU.
    """

    def __init__(self, conv: nn.Conv3d, relu: bool) -> None:
        self.conv, self.relu = conv, relu
        assert not isinstance(conv.padding, str)
        sizes = list(conv.padding), list(conv.stride), list(conv.dilation)
        self._settings: _Settings = *sizes, conv.groups
        # The best layout depends on the clip: one for all clips has been thirty times slower.
        self._packed: dict[torch.Size, Tensor] = {}

    @staticmethod
    def fits(conv: nn.Module) -> bool:
        """Whether it is a convolution of oneDNN's and PyTorch has the operators."""
        return (
            isinstance(conv, nn.Conv3d)
            and OneDnnConv3d.fits(conv)
            and conv.weight.device.type == "cpu"
            and _operators_work()
        )

    def __call__(self, x: Tensor, residual: Tensor | None) -> Tensor:
        """x: channels last in memory; the residual is what PyTorch can add in place, or None."""
        if x.dtype != torch.float32 or not x.is_cpu or x.dim() != 5 or not x.numel():
            return self._finish(self.conv(x), residual)
        weight = self._packed.get(x.shape)
        if weight is None:
            meta = x.to("meta"), self.conv.weight.to("meta")
            padding, stride, dilation, groups = self._settings
            # Its errors say what is wrong with a clip.
            F.conv3d(*meta, None, stride, padding, dilation, groups)
            if len(self._packed) >= _MOST_SHAPES:
                self._packed.pop(next(iter(self._packed)), None)
            weight = self._packed[x.shape] = _pack(self.conv.weight, self._settings, x.shape)
        if residual is None and self.relu:
            return _convolve(x, weight, self.conv.bias, self._settings, "relu")
        # In place and still in cache: oneDNN's own addition makes the result anew and is slower.
        return self._finish(_convolve(x, weight, self.conv.bias, self._settings, "none"), residual)

    def _finish(self, y: Tensor, residual: Tensor | None) -> Tensor:
        if residual is not None:
            y += residual
        return y.relu_() if self.relu else y


def _pack(weight: Tensor, settings: _Settings, shape: torch.Size) -> Tensor:
    reorder: Callable[..., Tensor] = torch.ops.mkldnn._reorder_convolution_weight
    return reorder(weight, *settings, list(shape))


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, settings: _Settings, activation: str
) -> Tensor:
    pointwise: Callable[..., Tensor] = torch.ops.mkldnn._convolution_pointwise
    return pointwise(x, weight, bias, *settings, activation, [], "")


@cache
def _operators_work() -> bool:
    """Tried on a small convolution: they differ between versions of PyTorch."""
    if not torch.backends.mkldnn.is_available():
        return False
    x = torch.linspace(-1, 1, 108).view(1, 2, 3, 3, 6).to(memory_format=torch.channels_last_3d)
    weight, bias = torch.linspace(-1, 1, 4 * 2 * 12).view(4, 2, 3, 2, 2), torch.ones(4)
    expected = F.conv3d(x, weight, bias, 1, (1, 0, 0)).relu()
    settings: _Settings = ([1, 0, 0], [1, 1, 1], [1, 1, 1], 1)
    try:
        found = _convolve(x, _pack(weight, settings, x.shape), bias, settings, "relu")
    except Exception:  # as many ways as there are versions
        return False
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
