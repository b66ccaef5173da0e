"""Max pooling on the CPU for inference: windows of any size and stride, nothing kept for gradients.

PyTorch's writes the place of every maximum beside it, twice its result's size.

x: N C D H W in either memory layout;  result: N C D' H' W', channels last in memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from videowino.kernels import native
from videowino.kernels.memory import pool as memory
from videowino.kernels.problem import LARGEST
from videowino.winograd.tile import Triple

_LAST = torch.channels_last_3d


def takes(x: Tensor) -> bool:
    """Whether the kernel is there and pools such clips."""
    plain = x.dim() == 5 and x.device.type == "cpu" and x.dtype == torch.float32
    return plain and max(x.shape) <= LARGEST and native.library() is not None


def max_pool(
    x: Tensor, size: Triple, window: Triple, stride: Triple, padding: Triple, fill: float
) -> Tensor:
    """The largest of each window, NaN where one is in it.

    Args:
        x: One that it `takes`.
        size: D' H' W' of the result.
        window: Samples per axis.
        stride: From one window to the next.
        padding: Samples before the clip's first, per axis.
        fill: What is around the clip; -inf for nothing.
    """
    library = native.library()
    assert library is not None
    x = x.contiguous(memory_format=_LAST)
    shape = (x.shape[0], x.shape[1], *size)
    y = memory.empty(shape, _LAST)
    if y.numel():
        problem = native.Pool(
            batch=x.shape[0], channels=x.shape[1], fill=fill, threads=torch.get_num_threads()
        )
        for index, axis in enumerate(problem.axis):
            axis.input, axis.output = x.shape[2 + index], size[index]
            axis.window, axis.stride = window[index], stride[index]
            axis.padding = padding[index]
        library.vw_max_pool(problem, x.data_ptr(), y.data_ptr())
    return y
