"""Packed weights, kept from call to call while the tensors they come from stay as they are."""

import ctypes
import weakref
from dataclasses import dataclass

import torch
from torch import Tensor

from videowino.kernels.memory import pool
from videowino.kernels.native import Problem
from videowino.winograd.reference import Weights
from videowino.winograd.tile import Tile

_SAMPLES = 32


@dataclass(frozen=True)
class _Entry:
    state: tuple[object, ...]
    packed: Tensor


class PackedWeights:
    """U in the kernel's layout, one for each weight in use.

    A weight is packed anew when a tensor it is made of has changed: another object, another
    version, or other values at a few places (writing to `.data` leaves the version as it was).
    """

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}

    def get(
        self, weights: Weights, tile: Tile, problem: Problem, library: ctypes.CDLL, keep: bool
    ) -> Tensor:
        """The packed weight, (floats,) float32; kept for the next call only with `keep`."""
        main = _main(weights)
        state = _state(weights, tile) if keep else None
        entry = self._entries.get(id(main))
        if entry is not None and state is not None and entry.state == state:
            return entry.packed
        packed = pack(*single(weights, tile), problem, library)
        if state is not None:
            if entry is None:
                weakref.finalize(main, self._entries.pop, id(main), None)
            self._entries[id(main)] = _Entry(state, packed)
        return packed


def single(weights: Weights, tile: Tile) -> tuple[Tensor, Tensor | None]:
    """What `pack` takes, in float32: the sum of the parts, and the kept columns' gates."""
    parts = weights.to(torch.float32)
    u = parts.ungated(tile).reshape(-1, *parts.channels)
    return u, None if parts.gate is None else parts.pick(parts.gate, 0)


def pack(u: Tensor, gate: Tensor | None, problem: Problem, library: ctypes.CDLL) -> Tensor:
    """U = u gate in the kernel's layout; u: (P', C_out, C_in) float32, any strides; gate: (P',)."""
    packed = pool.flat(library.vw_packed_size(problem))
    scale = None if gate is None else gate.contiguous()
    library.vw_pack(
        problem,
        u.data_ptr(),
        *u.stride(),
        None if scale is None else scale.data_ptr(),
        packed.data_ptr(),
    )
    return packed


def _main(weights: Weights) -> Tensor:
    for part in (weights.spatial, weights.winograd, weights.left):
        if part is not None:
            return part
    raise AssertionError("a Winograd weight needs at least one part")


def _state(weights: Weights, tile: Tile) -> tuple[object, ...] | None:
    """What the packed weight depends on; None where changes could not be seen."""
    large = (weights.spatial, weights.winograd, weights.left, weights.right)
    small = (weights.transform, weights.gate, weights.columns)
    if any(part is not None and part.is_inference() for part in large):
        return None
    return (
        tile,
        *(None if part is None else _print(part) for part in large),
        *(None if part is None else _bytes(part) for part in small),
    )


def _print(part: Tensor) -> tuple[object, ...]:
    flat = in_memory_order(part.detach())
    step = max(1, flat.numel() // _SAMPLES)
    return id(part), part._version, part.data_ptr(), flat[::step].tolist()


def in_memory_order(part: Tensor) -> Tensor:
    """All values, (N,), of any order of dimensions in memory; a view where they are close."""
    order = sorted(range(part.dim()), key=part.stride, reverse=True)
    return part.permute(order).reshape(-1)


def _bytes(part: Tensor) -> bytes:
    return part.detach().contiguous().view(torch.uint8).numpy().tobytes()
