"""Max pooling that no convolution before it does: by the kernel, with the padding before it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videowino.kernels import pooling
from videowino.winograd.tile import Triple


class FusedMaxPool3d(nn.Module):
    """max_pool3d(pad(x)); channels last in memory where the kernel computes it.

    Args:
        window: Samples per axis.
        stride: From one window to the next.
        padding: Samples that do not count, on both sides.
        ceil: As `ceil_mode` of PyTorch's.

    Attributes:
        algorithm: "max pool", or "direct" for PyTorch's.
    """

    def __init__(
        self, window: Triple, stride: Triple, padding: Triple = (0, 0, 0), ceil: bool = False
    ) -> None:
        super().__init__()
        self.window, self.stride, self.padding, self.ceil = window, stride, padding, ceil
        self.algorithm = ""

    @torch.no_grad()
    def forward(self, x: Tensor, pads: Sequence[int] | None = None, value: float = 0.0) -> Tensor:
        """Pooled, N C D' H' W'.

        Args:
            x: N C D H W.
            pads: As of `F.pad`, (w0, w1, h0, h1, d0, d1), if there is one before.
            value: What it pads with.
        """
        around = [0] * 6 if pads is None else [int(n) for n in pads]
        own = self.padding
        # Two kinds of samples around a clip are not the kernel's.
        mixed = pads is not None and (max(own) > 0 or self.ceil)
        if not pooling.takes(x) or len(around) != 6 or min(around) < 0 or mixed:
            self.algorithm = "direct"
            if pads is not None:
                x = F.pad(x, list(around), value=value)
            return F.max_pool3d(x, self.window, self.stride, own, ceil_mode=self.ceil)
        self.algorithm = "max pool"
        before = own if pads is None else (around[4], around[2], around[0])
        fill = float("-inf") if pads is None else value
        how = self.window, self.stride, own, self.ceil
        size = _size(tuple(x.shape[2:]), tuple(around), *how)
        return pooling.max_pool(x, size, self.window, self.stride, before, fill)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        ceil = ", ceil" if self.ceil else ""
        return f"{self.window}, stride={self.stride}, padding={self.padding}{ceil}"


@lru_cache(maxsize=1024)
def _size(
    clip: tuple[int, ...],
    around: tuple[int, ...],
    window: Triple,
    stride: Triple,
    padding: Triple,
    ceil: bool,
) -> Triple:
    """Of the result, as PyTorch counts it; raises what PyTorch would."""
    like = F.pad(torch.empty((1, 1, *clip), device="meta"), around)
    d, h, w = F.max_pool3d(like, window, stride, padding, ceil_mode=ceil).shape[2:]
    return d, h, w
