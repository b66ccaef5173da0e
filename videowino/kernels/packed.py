"""Packed weights, kept from call to call while the tensors they come from stay as they are."""

import ctypes
import weakref
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from videowino.kernels.factors import Factors
from videowino.kernels.memory import pool
from videowino.kernels.native import Problem, address
from videowino.kernels.native import Weight as NativeWeight
from videowino.kernels.watch import Watch, fingerprint
from videowino.winograd.tile import Tile
from videowino.winograd.weights import Weights


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
        state = _state(weights, tile, problem.weight_bits) if keep else None
        entry = self._entries.get(id(main))
        if entry is not None and state is not None and entry.state == state:
            return entry.packed
        packed = pack(weights, tile, problem, library)
        if state is not None:
            if entry is None:
                weakref.finalize(main, self._entries.pop, id(main), None)
            self._entries[id(main)] = _Entry(state, packed)
        return packed


@dataclass(frozen=True)
class Plain:
    """A weight in the order of parameters, as the kernel reads it (``vw_weight``).

    Attributes:
        values: (columns, C_out, C_in) float32, any strides.
        place: Where the kept columns are among those of `values`; None where they are all.
        scale: (P',) of the kept columns, (B, P') by blocks of input channels, or None.
    """

    values: Tensor
    place: Tensor | None = None
    scale: Tensor | None = None

    @classmethod
    def of(cls, weights: Weights, tile: Tile) -> "Plain":
        """The sum of the parts in float32 without copies where that can be, gates beside it."""
        parts = weights.to(torch.float32)
        scale = parts.kept_gate()
        if parts.winograd is not None and parts.spatial is None and parts.left is None:
            place = None if parts.columns is None else parts.columns.to(torch.int32)
            return cls(parts.winograd.permute(2, 0, 1), place, scale)
        return cls(parts.ungated(tile).reshape(-1, *parts.channels), None, scale)

    def by_rows(self) -> "Plain":
        """The same with rows of C_in without gaps, as the gradients need it; copied if it must."""
        c_in = self.values.shape[2]
        if self.values.stride()[1:] == (c_in, 1):
            return self
        return replace(self, values=self.values.contiguous())

    def native(self) -> NativeWeight:
        """What to hand over; it holds addresses, so keep the tensors."""
        return NativeWeight(
            self.values.data_ptr(),
            *self.values.stride(),
            address(self.place),
            address(self.scale),
            0 if self.scale is None or self.scale.dim() == 1 else self.scale.stride(0),
        )


def pack(weights: Weights, tile: Tile, problem: Problem, library: ctypes.CDLL) -> Tensor:
    """U with its gates in the kernel's layout, in as many bits as the problem says."""
    wide = problem
    if problem.weight_bits == 16:
        wide = Problem.from_buffer_copy(problem)
        wide.weight_bits = 32
    packed = pool.flat(-(-library.vw_packed_bytes(wide) // 4))
    factors = Factors.of(weights, tile)
    if factors is None or problem.spans:
        u = plain(weights, tile, factors, problem, library)  # kept while the kernel reads it
        library.vw_pack(wide, u.native(), packed.data_ptr())
    elif library.vw_pack_factors(wide, factors.native(), packed.data_ptr()):
        raise MemoryError(f"no memory to pack the weight of a Winograd convolution {tile}")
    if wide is problem:
        return packed
    narrow = pool.flat(-(-library.vw_packed_bytes(problem) // 4))
    library.vw_narrow(problem, packed.data_ptr(), narrow.data_ptr())
    return narrow


def plain(
    weights: Weights, tile: Tile, factors: Factors | None, problem: Problem, library: ctypes.CDLL
) -> Plain:
    """The weight in the order of parameters, by its factors where there are some."""
    if factors is None:
        return Plain.of(weights, tile)
    return Plain(factors.expand(problem, library), None, factors.scale)


def _main(weights: Weights) -> Tensor:
    for part in (weights.spatial, weights.winograd, weights.left):
        if part is not None:
            return part
    raise AssertionError("a Winograd weight needs at least one part")


def _state(weights: Weights, tile: Tile, bits: int) -> tuple[object, ...] | None:
    """What the packed weight depends on; None where changes could not be seen."""
    if weights.right is not None and weights.right.dim() == 3:  # made anew for each call
        return None
    state: list[object] = [tile, bits, weights.channels]
    for part in (weights.spatial, weights.winograd, weights.left, weights.right):
        if part is None:
            state.append(None)
        elif part.is_inference():
            return None
        else:
            state += id(part), part._version, part.dtype, Watch.of(part) or _values(part)
    # These may be other tensors at each call, with the same values.
    for part in (weights.transform, weights.gate, weights.columns, weights.blocks):
        state.append(None if part is None else (part.dtype, _values(part)))
    return tuple(state)


def _values(part: Tensor) -> tuple[int, int]:
    part = part.contiguous()
    size = part.numel() * part.element_size()
    return size, fingerprint(part.data_ptr(), size, 1)
