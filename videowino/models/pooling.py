"""Pools whose windows shrink to fit a smaller feature map.

The published heads of I3D, S3D, SlowFast and X3D pool a window of the size that their own clips
leave. On those clips, and on larger ones, these pool the same; on a smaller clip, where the fixed
window is an error, they pool what there is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


def _fit(window: int | Sequence[int], x: Tensor) -> list[int]:
    sizes = [window] * 3 if isinstance(window, int) else window
    return [min(k, size) for k, size in zip(sizes, x.shape[2:], strict=True)]


class AvgPool3dUpTo(nn.AvgPool3d):
    """`AvgPool3d` without padding, its window at most as large as the input."""

    def forward(self, x: Tensor) -> Tensor:
        """x: N C D H W."""
        return F.avg_pool3d(x, _fit(self.kernel_size, x), self.stride)


class MaxPool3dUpTo(nn.MaxPool3d):
    """`MaxPool3d` without padding, its window at most as large as the input."""

    def forward(self, x: Tensor) -> Tensor:
        """x: N C D H W."""
        return F.max_pool3d(x, _fit(self.kernel_size, x), self.stride)


def let_pools_shrink(model: nn.Module) -> None:
    """Swap, in place, every unpadded 3D pool of `model` for one that shrinks."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.AvgPool3d and child.padding in (0, (0, 0, 0)):
                setattr(module, name, AvgPool3dUpTo(child.kernel_size, child.stride))
            elif type(child) is nn.MaxPool3d and child.padding in (0, (0, 0, 0)):
                setattr(module, name, MaxPool3dUpTo(child.kernel_size, child.stride))
