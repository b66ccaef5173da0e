"""A convolution by the CPU kernel for inference alone: any tile, strides of 1 and 2.

x: N C_in D H W in either memory layout;  result: N C_out D' H' W', channels last in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from videowino.kernels import native
from videowino.kernels.packed import pack
from videowino.kernels.prepared import Prepared
from videowino.kernels.problem import fits, make_problem
from videowino.winograd.checks import check_pool
from videowino.winograd.finish import Finish, MaxPool
from videowino.winograd.padding import normalize_padding
from videowino.winograd.reference import memory_layout, output_size
from videowino.winograd.tile import MAX_STRIDE, TAPS, fit_tile
from videowino.winograd.weights import Weights

_LAST = torch.channels_last_3d
_MOST_SHAPES = 16  # that are kept ready


class FrozenConv3d(nn.Module):
    """A Conv3d whose weight will not change, so that everything but the clip is settled beforehand.

    Args:
        conv: One that `fits`; left as it is, its parameters shared.
        m: Outputs a tile, per axis; one on axes with one tap.
        around: Zeros around the clip beside those of `conv.padding`, (d0, d1, h0, h1, w0, w1).

    Attributes:
        tile: Of the convolution.
        pads: Zeros around the clip, (d0, d1, h0, h1, w0, w1).
    """

    def __init__(self, conv: nn.Conv3d, m: Sequence[int], around: Sequence[int] = (0,) * 6) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.tile = fit_tile(m, conv.kernel_size, stride=conv.stride)
        own = normalize_padding(conv.padding, self.tile.taps)
        self.pads = tuple(a + b for a, b in zip(own, around, strict=True))
        self._packed: Tensor | None = None
        self._ready: dict[tuple[object, ...], Prepared] = {}

    @staticmethod
    def fits(conv: nn.Module, m: Sequence[int]) -> bool:
        """Whether a module is a Conv3d that the kernel computes with such tiles."""
        if (
            not isinstance(conv, nn.Conv3d)
            or (type(conv).forward, type(conv)._conv_forward)
            != (nn.Conv3d.forward, nn.Conv3d._conv_forward)
            or conv.padding_mode != "zeros"
            or conv.groups != 1
            or max(conv.dilation) > 1
            or max(conv.stride) > MAX_STRIDE
            or any(taps not in TAPS for taps in conv.kernel_size)
            or conv.weight.dtype != torch.float32
            or conv.weight.device.type != "cpu"
            or native.library() is None
        ):
            return False
        return fits(fit_tile(m, conv.kernel_size, stride=conv.stride))

    def forward(
        self,
        x: Tensor,
        residual: Tensor | None = None,
        relu: bool = False,
        pool: MaxPool | None = None,
    ) -> Tensor:
        """pool(relu(conv(x) + residual)).

        Args:
            x: N C_in D H W.
            residual: As the result, or None.
            relu: Whether negative results become zero.
            pool: One that fits the tile; without residual.

        Raises:
            ValueError: The clip is too small, or the residual or the pooling does not fit.
        """
        check_pool(pool, self.tile.m, residual)
        layout = memory_layout(x)
        x = x.contiguous(memory_format=layout)
        key = (x.shape, layout, relu, pool, torch.get_num_threads())
        ready = self._ready.get(key)
        if ready is None:
            ready = self._prepare(x, Finish(relu=relu, pool=pool))
            if len(self._ready) >= _MOST_SHAPES:
                self._ready.pop(next(iter(self._ready)), None)
            self._ready[key] = ready
        y = ready(x, residual)
        if y is None:  # a residual of another layout
            assert residual is not None
            y = ready(x, ready.laid_out(residual))
        assert y is not None  # nothing is watched
        return y

    def _prepare(self, x: Tensor, finish: Finish) -> Prepared:
        size = output_size(x.shape, self.tile, self.pads)
        problem = make_problem(
            tuple(x.shape),
            size,
            (memory_layout(x) == _LAST, True),
            self.weight.shape[0],
            None,
            self.tile,
            self.pads,
            torch.get_num_threads(),
        )
        if self._packed is None:
            library = native.library()
            assert library is not None
            spatial = self.weight.detach()
            channels = spatial.shape[0], spatial.shape[1]
            self._packed = pack(Weights(channels, spatial=spatial), self.tile, problem, library)
        bias = None if self.bias is None else self.bias.detach().contiguous()
        shape = finish.shape_of((x.shape[0], self.weight.shape[0], *size))
        return Prepared(shape, _LAST, problem, self._packed, bias, finish, [])

    def __getstate__(self) -> dict[str, object]:
        """What is packed is made anew: it is of this machine alone."""
        return {**self.__dict__, "_packed": None, "_ready": {}}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FrozenConv3d:
        self._packed, self._ready = None, {}
        return super()._apply(fn, recurse)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        outs, ins = self.weight.shape[:2]
        return f"{ins}, {outs}, {self.tile}, padding={self.pads}"
