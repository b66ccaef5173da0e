"""A convolution with everything settled but the clip, handed over in one call."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from videowino.kernels import native
from videowino.kernels.memory import SMALLEST, pool
from videowino.kernels.watch import Watch
from videowino.winograd.finish import Finish


class Prepared:
    """Call it with a clip of the shape and layout it was made for, float32, and a residual if any.

    Args:
        shape: Of the result.
        layout: Of the result in memory.
        problem: As the kernel takes it.
        packed: The weight.
        bias: (C_out,) float32 or None; read at each call.
        finish: ReLU and pooling; residuals come with clips, but not where there is pooling.
        watched: What the weight was made of.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        layout: torch.memory_format,
        problem: native.Problem,
        packed: Tensor,
        bias: Tensor | None,
        finish: Finish,
        watched: Sequence[Watch],
    ) -> None:
        library = native.library()
        assert library is not None
        self._shape, self._layout = shape, layout
        like = torch.empty(shape, device="meta", memory_format=self._layout)
        self._run = library.vw_run if like.numel() else _nothing
        self._strides = like.stride()
        self._small = 4 * like.numel() < SMALLEST
        self._held = packed, bias
        array = (native.Watch * len(watched))(
            *(native.Watch(w.data, w.bytes, w.step, w.value) for w in watched)
        )
        self._call = native.Call(
            problem,
            packed.data_ptr(),
            native.epilogue(bias, None, finish),
            array,
            len(watched),
        )
        self._address = ctypes.addressof(self._call)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor | None:
        """The result; None where a watched value is another than it was, or the residual unlike it.

        Args:
            x: The clip.
            residual: As the result, in its layout; added before the ReLU.

        Raises:
            MemoryError: No memory for the blocks of tiles.
        """
        if residual is not None and (
            residual.shape != self._shape
            or residual.stride() != self._strides
            or residual.dtype != torch.float32
            or not residual.is_cpu
        ):
            return None
        if self._small:
            y = x.new_empty_strided(self._shape, self._strides)
        else:
            y = pool.empty(self._shape, self._layout)
        state = self._run(self._address, x.data_ptr(), native.address(residual), y.data_ptr())
        if state == native.CHANGED:
            return None
        if state:
            raise MemoryError("no memory for the blocks of a Winograd convolution")
        return y

    def laid_out(self, residual: Tensor) -> Tensor:
        """The same residual as a call takes it.

        Raises:
            ValueError: It is not of the result's shape.
        """
        if residual.shape != self._shape:
            raise ValueError(
                f"residual has shape {tuple(residual.shape)}; the result has {self._shape}"
            )
        copy = torch.empty_strided(self._shape, self._strides, device="cpu")
        return copy.copy_(residual)


def _nothing(*_: object) -> int:
    """What there is to compute of no clips."""
    return 0
