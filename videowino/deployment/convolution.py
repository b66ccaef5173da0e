"""A convolution with what follows it, from bias to pooling, by its fastest algorithm."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from videowino.deployment.folded import FoldedConv3d
from videowino.deployment.onednn import PackedConv3d
from videowino.deployment.tune import UNPADDED, Pads, Run, Tuned, Tuner
from videowino.fastest import OneDnnConv3d
from videowino.kernels import cpu
from videowino.kernels.chooser import sensible_tiles
from videowino.kernels.frozen import FrozenConv3d
from videowino.report import columns_of
from videowino.winograd import WinogradConv3d
from videowino.winograd.finish import MaxPool
from videowino.winograd.reference import output_size
from videowino.winograd.tile import Triple, fit_tile

_LAST = torch.channels_last_3d
DIRECT, PRODUCT = "direct", "product"


class FusedConv3d(Tuned):
    """pool(relu(conv(pad(x)) + residual)), channels last in memory.

    Tiles that windows of the pooling fit into pool their own results, "F(4x4x4, 3x3x3) + pool";
    other algorithms are "then pool": what they write is read again.

    Args:
        conv: A Winograd layer, whose tile belongs to its columns; or a Conv3d, for which direct
            convolution and tiles are measured.
        relu: Whether there is a ReLU.
        tuner: Measures.
        pool: A max pooling that follows, of a convolution without residual.
        keep_layout: Give the result in the clip's layout, for networks that rely on it.
    """

    def __init__(
        self,
        conv: nn.Module,
        relu: bool,
        tuner: Tuner,
        *,
        pool: MaxPool | None = None,
        keep_layout: bool = False,
    ) -> None:
        super().__init__(relu, tuner)
        self.conv = conv
        self.pool = pool
        self.keep_layout = keep_layout
        if isinstance(conv, nn.Conv3d):
            conv.to(memory_format=_LAST)  # type: ignore[call-overload]

    @property
    def columns(self) -> str:
        """Columns kept, of how many: "36/144" for a Winograd layer, else ""."""
        if not isinstance(self.conv, WinogradConv3d):
            return ""
        return columns_of(self.conv.columns_multiplied, self.conv.columns)

    def algorithms(self, x: Tensor, pads: Pads = UNPADDED) -> dict[str, Callable[[], Run]]:
        """Winograd alone for a Winograd layer, else "direct" and tiles by name."""
        if isinstance(self.conv, WinogradConv3d):
            name = str(self.conv.tile) + self._suffix(self._winograd_pool())
            return {name: lambda: self._laid(self._winograd(pads))}
        assert isinstance(self.conv, nn.Conv3d)
        found: dict[str, Callable[[], Run]] = {
            DIRECT + self._suffix(None): lambda: self._laid(_padded(self._direct(), pads))
        }
        if x.device.type == "cpu" and x.dtype == torch.float32 and min(pads) >= 0:
            for m in tiles_of(self.conv, x, pads):
                name = self._name(m)
                found.setdefault(name, partial(self._by, m, pads))
        return found

    def geometry(self) -> tuple[object, ...]:
        """All of the layer that times depend on."""
        conv = self.conv
        assert isinstance(conv, nn.Conv3d | WinogradConv3d)
        if isinstance(conv, WinogradConv3d):
            return ()  # nothing is measured
        return (
            *(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.dilation),
            *(conv.groups, conv.padding, conv.padding_mode, conv.bias is None),
            *(self.pool, self.keep_layout),
        )

    def _winograd(self, pads: Pads) -> Run:
        conv = self.conv
        assert isinstance(conv, WinogradConv3d)
        if not self._in_kernel(conv):
            return _padded(self._followed(FoldedConv3d(conv)), pads)
        if conv.padding_mode != "zeros" or min(pads) < 0:
            return _padded(self._followed(conv.fused), pads)
        return self._followed(_surrounded(conv, pads).fused)

    def _followed(self, run: Callable[..., Tensor]) -> Run:
        """What a Winograd layer's `fused`, or what stands in for it, does not do itself."""
        pool = self._winograd_pool()
        if pool is not None:
            return lambda x, residual: run(_last(x), residual, self.relu, pool)
        return self._pooled(lambda x, residual: run(_last(x), residual, self.relu))

    def _in_kernel(self, conv: WinogradConv3d) -> bool:
        return conv.gate.device.type == "cpu" and cpu.takes(conv.gate.dtype, conv.tile)

    def _winograd_pool(self) -> MaxPool | None:
        assert isinstance(self.conv, WinogradConv3d)
        return self._inside(self.conv.tile.m) if self._in_kernel(self.conv) else None

    def _inside(self, m: Triple) -> MaxPool | None:
        """The pooling, where tiles of m outputs do it themselves."""
        return self.pool if self.pool is not None and self.pool.fits(m) else None

    def _suffix(self, inside: MaxPool | None) -> str:
        return "" if self.pool is None else " then pool" if inside is None else " + pool"

    def _pooled(self, run: Run) -> Run:
        pool = self.pool
        return run if pool is None else lambda x, residual: pool(run(x, residual))

    def _direct(self) -> Run:
        conv = self.conv
        if PackedConv3d.fits(conv):
            assert isinstance(conv, nn.Conv3d)
            packed = PackedConv3d(conv, self.relu)
            return self._pooled(lambda x, residual: packed(_last(x), residual))
        if OneDnnConv3d.fits(conv) and conv.weight.device.type == "cpu":
            conv = OneDnnConv3d(conv)  # type: ignore[arg-type]
        return self._pooled(lambda x, residual: self.finish(conv(_last(x)), residual))

    def _by(self, m: Triple, pads: Pads) -> Run:
        assert isinstance(self.conv, nn.Conv3d)
        frozen = FrozenConv3d(self.conv, m, _by_axis(pads))
        if pool := self._inside(frozen.tile.m):
            return self._laid(lambda x, residual: frozen(x, residual, self.relu, pool))
        return self._laid(self._pooled(lambda x, residual: frozen(x, residual, self.relu)))

    def _name(self, m: Triple) -> str:
        assert isinstance(self.conv, nn.Conv3d)
        if max(self.conv.kernel_size) == 1:
            return PRODUCT + self._suffix(self._inside((1, 1, 1)))
        tile = fit_tile(m, self.conv.kernel_size, stride=self.conv.stride)
        return str(tile) + self._suffix(self._inside(m))

    def _laid(self, run: Run) -> Run:
        if not self.keep_layout:
            return run

        def laid(x: Tensor, residual: Tensor | None) -> Tensor:
            y = run(x, residual)
            return y.contiguous() if x.is_contiguous() else y

        return laid


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=_LAST)


def tiles_of(conv: nn.Conv3d, x: Tensor, pads: Pads = UNPADDED) -> list[Triple]:
    """Tiles worth a measurement; none where the kernel does not compute the convolution."""
    if not FrozenConv3d.fits(conv, (1, 1, 1)):
        return []
    one = FrozenConv3d(conv, (1, 1, 1), _by_axis(pads))
    if max(one.tile.phase_taps) == 1:
        return [(1, 1, 1)]
    size = output_size(x.shape, one.tile, one.pads)
    tiles = sensible_tiles(conv.kernel_size, size, conv.stride)
    return [tile.m for tile in tiles if FrozenConv3d.fits(conv, tile.m)]


def _padded(run: Run, pads: Pads) -> Run:
    """What does not pad itself, on what is padded before."""
    return run if not any(pads) else lambda x, residual: run(F.pad(x, pads), residual)


def _surrounded(conv: WinogradConv3d, pads: Pads) -> WinogradConv3d:
    """The same layer, nothing of it copied, with more zeros around the clip."""
    wider = copy(conv)
    wider.pads = tuple(a + b for a, b in zip(conv.pads, _by_axis(pads), strict=True))
    return wider


def _by_axis(pads: Pads) -> tuple[int, ...]:
    """Pads of F.pad as (d0, d1, h0, h1, w0, w1)."""
    return (*pads[4:], *pads[2:4], *pads[:2])


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
