"""Packed weights, kept from call to call while the tensors they come from stay as they are."""

import ctypes
import weakref
from dataclasses import dataclass

import torch
from torch import Tensor

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
    While gradients are recorded nothing is kept: the next step changes the weights.
    """

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}

    def get(self, weights: Weights, tile: Tile, problem: Problem, library: ctypes.CDLL) -> Tensor:
        """The packed weight, (floats,) float32."""
        main = _main(weights)
        state = _state(weights, tile)
        entry = self._entries.get(id(main))
        if entry is not None and state is not None and entry.state == state:
            return entry.packed
        packed = _pack(weights, tile, problem, library)
        if state is not None:
            if entry is None:
                weakref.finalize(main, self._entries.pop, id(main), None)
            self._entries[id(main)] = _Entry(state, packed)
        return packed


def _pack(weights: Weights, tile: Tile, problem: Problem, library: ctypes.CDLL) -> Tensor:
    u = weights.to(torch.float32).packed(tile)
    packed = u.new_empty(library.vw_packed_size(problem))
    library.vw_pack(problem, u.data_ptr(), *u.stride(), packed.data_ptr())
    return packed


def _main(weights: Weights) -> Tensor:
    for part in (weights.spatial, weights.winograd, weights.left):
        if part is not None:
            return part
    raise AssertionError("a Winograd weight needs at least one part")


def _state(weights: Weights, tile: Tile) -> tuple[object, ...] | None:
    """What the packed weight depends on; None where it is not worth keeping."""
    parts = (weights.spatial, weights.winograd, weights.left, weights.right)
    small = (weights.transform, weights.gate, weights.columns)
    given = [part for part in (*parts, *small) if part is not None]
    if any(part.is_inference() for part in given):
        return None
    if torch.is_grad_enabled() and any(part.requires_grad for part in given):
        return None
    return (
        tile,
        torch.get_num_threads() > 0,
        *(None if part is None else _print(part) for part in parts),
        *(None if part is None else part.numpy().tobytes() for part in small),
    )


def _print(part: Tensor) -> tuple[object, ...]:
    flat = part.detach().reshape(-1)
    step = max(1, flat.numel() // _SAMPLES)
    return id(part), part._version, part.data_ptr(), flat[::step].tolist()
