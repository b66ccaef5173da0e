"""Convolutions with strides, by phases: as one convolution with stride 1 over more channels.

Along an axis with stride s, output o meets sample s (o + a) + q of the clip with some tap, for a
phase q in 0..s-1 and whole numbers a. So the convolution is the sum of s of them with stride 1, one
for each phase: every s-th sample of the clip with every s-th tap. The phases lie side by side as
channels, phase before channel, depth's phases slowest; one with a tap less than the others has zero
as its last tap, and so nothing at the point infinity.

x: N C_in D H W;  weight: (C_out, C_in, r_d, r_h, r_w).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from videowino.winograd.tile import Triple


@dataclass(frozen=True)
class Phase:
    """One phase of one axis.

    Attributes:
        offset: The clip's first sample in it, 0 to stride - 1.
        first: Which of its samples the first output's first tap meets, from -padding up.
        taps: The filter's taps in it.
    """

    offset: int
    first: int
    taps: tuple[int, ...]


def axis_phases(taps: int, stride: int, padding: int) -> list[Phase]:
    """The phases of an axis that have taps, in order."""
    found = []
    for offset in range(stride):
        tap = (padding + offset) % stride
        if tap < taps:
            own = tuple(range(tap, taps, stride))
            found.append(Phase(offset, (tap - padding - offset) // stride, own))
    return found


def phase_taps(taps: Sequence[int], stride: Sequence[int]) -> Triple:
    """The taps of the phases' convolution."""
    d, h, w = (-(-r // s) for r, s in zip(taps, stride, strict=True))
    return d, h, w


def strided_size(
    size: Sequence[int], taps: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Triple:
    """D' H' W' of the result.

    Args:
        size: D H W of the clip.
        taps: Of the filter.
        stride: Per axis.
        padding: Zeros on both sides, per axis.

    Raises:
        ValueError: The padded clip is smaller than the filter.
    """
    d, h, w = (
        (n + 2 * p - r) // s + 1 for n, r, s, p in zip(size, taps, stride, padding, strict=True)
    )
    if min(d, h, w) < 1:
        raise ValueError(
            f"input of size {tuple(size)} with padding {tuple(padding)} is smaller than the kernel "
            f"{tuple(taps)}; use a larger clip or more padding"
        )
    return d, h, w


def phase_weight(weight: Tensor, stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """The filter of the phases' convolution, (C_out, phases * C_in, R_d, R_h, R_w)."""
    taps = weight.shape[2:]
    axes = [axis_phases(r, s, p) for r, s, p in zip(taps, stride, padding, strict=True)]
    shape = (*weight.shape[:2], *phase_taps(taps, stride))
    parts = []
    for d, h, w in product(*axes):
        part = weight.new_zeros(shape)
        taken = weight[:, :, list(d.taps)][:, :, :, list(h.taps)][..., list(w.taps)]
        part[:, :, : len(d.taps), : len(h.taps), : len(w.taps)] = taken
        parts.append(part)
    return torch.cat(parts, 1)


def phase_clip(
    x: Tensor, taps: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Tensor:
    """The clip of the phases' convolution, N (phases * C_in) D" H" W", zeros around it included."""
    size = strided_size(x.shape[2:], taps, stride, padding)
    axes = [axis_phases(r, s, p) for r, s, p in zip(taps, stride, padding, strict=True)]
    whole = [n + r - 1 for n, r in zip(size, phase_taps(taps, stride), strict=True)]
    parts = []
    for phases in product(*axes):
        part = x
        for dim, (phase, s, length) in enumerate(zip(phases, stride, whole, strict=True), start=2):
            part = _samples(part, dim, phase, s, length)
        parts.append(part)
    return torch.cat(parts, 1)


def _samples(x: Tensor, dim: int, phase: Phase, stride: int, length: int) -> Tensor:
    """`length` of the phase's samples along one axis, zeros where the clip has none."""
    own = (
        x.narrow(dim, phase.offset, x.shape[dim] - phase.offset)[
            (slice(None),) * dim + (slice(None, None, stride),)
        ]
        if phase.offset < x.shape[dim]
        else x.narrow(dim, 0, 0)
    )
    shape = list(x.shape)
    shape[dim] = length
    result = x.new_zeros(shape)
    start, stop = max(0, phase.first), min(own.shape[dim], phase.first + length)
    if start < stop:
        there = result.narrow(dim, start - phase.first, stop - start)
        there.copy_(own.narrow(dim, start, stop - start))
    return result
