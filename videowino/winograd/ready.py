"""A layer's last convolution kept ready, so that the next like it goes straight to the kernel.

Small convolutions take less time than finding out anew which kernel computes them, and from what.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from videowino.winograd.finish import Finish, MaxPool
from videowino.winograd.operator import Prepared, prepare
from videowino.winograd.weights import Weights

if TYPE_CHECKING:
    from videowino.winograd.layers import WinogradConv3d


@dataclass(frozen=True)
class _Kept:
    run: Prepared
    shape: torch.Size
    strides: tuple[int, ...]
    settings: tuple[object, ...]
    tensors: list[Tensor | None]  # so that no other tensor can have their ids
    state: list[tuple[int, int, int]]


class Ready:
    """What a layer keeps of its last convolution in evaluation. A copy of it is empty."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None

    def __reduce__(self) -> tuple[type["Ready"], tuple[()]]:
        return Ready, ()

    def run(
        self,
        layer: "WinogradConv3d",
        x: Tensor,
        residual: Tensor | None,
        relu: bool,
        pool: MaxPool | None = None,
    ) -> Tensor | None:
        """The convolution, if it is the one that is kept; else None.

        Args:
            layer: The layer; whether its weight has changed is found out here.
            x: N C_in D H W, neither recorded for gradients nor `is_observed`.
            residual: As the result, or None.
            relu: Whether negative results become zero.
            pool: What follows; without residual.
        """
        kept = self._kept
        if (
            kept is None
            or x.shape != kept.shape
            or x.stride() != kept.strides
            or x.dtype != torch.float32
            or not x.is_cpu
            or _settings(layer, relu, pool) != kept.settings
            or _state(_tensors(layer)) != kept.state
        ):
            return None
        return kept.run(x, residual)

    def prepare(
        self,
        layer: "WinogradConv3d",
        x: Tensor,
        parts: Mapping[str, Tensor | None],
        padding: tuple[int, ...],
        relu: bool,
        pool: MaxPool | None = None,
    ) -> None:
        """Keep the convolution that has just been computed, where that can be.

        Args:
            layer: The layer.
            x: Its clip, N C_in D H W.
            parts: What U is made of, as the fields of `Weights`.
            padding: (d0, d1, h0, h1, w0, w1).
            relu: Whether negative results become zero.
            pool: What follows.
        """
        self._kept = None
        if x.dtype != torch.float32 or not x.is_cpu or torch.is_autocast_enabled("cpu"):
            return
        tensors = _tensors(layer)
        there = [tensor for tensor in tensors if tensor is not None]
        used = [parts[name] for name in ("spatial", "winograd", "left", "right")]
        if layer.right_transform is not None:
            used[-1] = layer.right  # what that of the parts is made of
        # Hooks and parametrizations make weights at each call, which are none of the layer's.
        own = all(
            part is None or any(part is one for one in there)
            for part in (*used, layer.gate, layer.bias)
        )
        if not own or any(tensor.is_inference() for tensor in there):
            return
        weights = Weights((layer.out_channels, layer.in_channels), **parts)
        watched = [part for part in (*used, layer.gate) if part is not None]
        finish = Finish(relu=relu, weight_bits=layer.weight_bits, pool=pool)
        run = prepare(x, weights, layer.bias, layer.tile, padding, finish, watched)
        if run is not None:
            settings = _settings(layer, relu, pool)
            self._kept = _Kept(run, x.shape, x.stride(), settings, tensors, _state(tensors))


def _settings(layer: "WinogradConv3d", relu: bool, pool: MaxPool | None) -> tuple[object, ...]:
    return (
        relu,
        pool,
        torch.get_num_threads(),
        torch.is_autocast_enabled("cpu"),
        layer.weight_bits,
        layer.tile,
        layer.pads,
    )


def _tensors(layer: "WinogradConv3d") -> list[Tensor | None]:
    """What the result depends on beside the clip."""
    return [
        *layer._parameters.values(),
        layer._buffers.get("weight"),
        layer.kept_columns,
        layer.kept_blocks,
        layer.column_scale,
        layer.filter_transform,
        layer.right_transform,
    ]


def _state(tensors: list[Tensor | None]) -> list[tuple[int, int, int]]:
    return [(id(t), t._version, t.data_ptr()) for t in tensors if t is not None]
