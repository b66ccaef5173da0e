"""Clips side by side, channels last, in memory that was used before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from videowino.kernels.memory import pool

_LAST = torch.channels_last_3d


@torch.no_grad()
def concatenate(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """`torch.cat`.

    PyTorch gives large results back to the system after each call, and getting their pages again
    takes longer than the copy.

    Args:
        tensors: N C D H W to concatenate along C; anything else goes to PyTorch.
        dim: The axis.
    """
    clips = all(
        t.dim() == 5
        and t.is_cpu
        and t.dtype == torch.float32
        and t.is_contiguous(memory_format=_LAST)
        and (t.shape[0], *t.shape[2:]) == (tensors[0].shape[0], *tensors[0].shape[2:])
        for t in tensors
    )
    if not tensors or not clips or dim not in (1, -4):
        return torch.cat(list(tensors), dim)
    n, _, d, h, w = tensors[0].shape
    result = pool.empty((n, sum(t.shape[1] for t in tensors), d, h, w), _LAST)
    return torch.cat(list(tensors), dim, out=result)
