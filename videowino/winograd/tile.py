"""The tile F(m_d x m_h x m_w, r_d x r_h x r_w) of a 3D Winograd convolution."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TypeGuard

from videowino.winograd.cook_toom import Transforms1d, cook_toom
from videowino.winograd.points import parse_points

TAPS = (1, 2, 3, 4, 5, 7)
MAX_OUTPUTS = 6
MAX_STRIDE = 2
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Tile:
    """Outputs per tile and taps, per axis (depth, height, width).

    Attributes:
        m: Outputs per tile and axis, 1 to 6.
        taps: Filter taps per axis: 1, 2, 3, 4, 5 or 7.
        points: Finite interpolation points, "" for the defaults; either one list for all axes
            ("0,1,-1") or three separated by ";" (the entry of an axis with one output or one
            tap is not used and may be empty). With a stride for ceil(taps / stride) taps.
        stride: Of the convolution per axis, 1 or 2: the samples between the outputs.
    """

    m: Triple
    taps: Triple
    points: str = ""
    stride: Triple = (1, 1, 1)

    def __post_init__(self) -> None:
        for name, values, allowed in (
            ("tile", self.m, range(1, MAX_OUTPUTS + 1)),
            ("taps", self.taps, TAPS),
            ("stride", self.stride, range(1, MAX_STRIDE + 1)),
        ):
            if len(values) != 3 or any(value not in allowed for value in values):
                choices = ", ".join(map(str, allowed))
                raise ValueError(f"{name}={values!r} is out of range; give three of {choices}")
        self.transforms()

    @cached_property
    def alpha(self) -> Triple:
        """Winograd-domain positions per axis: s (m - 1) + taps, as many as samples.

        Fewer where the stride is longer than the kernel, and samples are passed over.
        """
        d, h, w = (len(axis.input) for axis in self.transforms())
        return d, h, w

    @cached_property
    def samples(self) -> Triple:
        """Input samples per tile and axis, s (m - 1) + taps."""
        d, h, w = (
            step + r - s for step, r, s in zip(self.step, self.taps, self.stride, strict=True)
        )
        return d, h, w

    @cached_property
    def step(self) -> Triple:
        """Input samples from one tile to the next per axis, s m."""
        d, h, w = (s * m for s, m in zip(self.stride, self.m, strict=True))
        return d, h, w

    @cached_property
    def phase_taps(self) -> Triple:
        """Taps of one class per axis, ceil(taps / s) (see `cook_toom`)."""
        d, h, w = (-(-r // s) for r, s in zip(self.taps, self.stride, strict=True))
        return d, h, w

    @cached_property
    def positions(self) -> int:
        """P, the number of Winograd-domain positions, which is the number of columns."""
        return prod(self.alpha)

    def transforms(self) -> tuple[Transforms1d, Transforms1d, Transforms1d]:
        """The exact matrices per axis."""
        d, h, w = (
            cook_toom(m, r, parse_points(text) if text and m > 1 and r > s else None, s)
            for m, r, s, text in zip(
                self.m, self.taps, self.stride, self._points_per_axis(), strict=True
            )
        )
        return d, h, w

    def _points_per_axis(self) -> list[str]:
        lists = self.points.split(";")
        if len(lists) not in (1, 3):
            raise ValueError(
                f"points={self.points!r} has {len(lists)} lists; give one, or three split by ';'"
            )
        return [text.strip() for text in (lists * 3 if len(lists) == 1 else lists)]

    def __str__(self) -> str:
        outputs, taps, stride = (
            "x".join(map(str, values)) for values in (self.m, self.taps, self.stride)
        )
        return f"F({outputs}, {taps}" + (")" if max(self.stride) == 1 else f" / {stride})")


def fit_tile(
    tile: int | Sequence[int],
    taps: Sequence[int],
    points: str | None = None,
    stride: Sequence[int] = (1, 1, 1),
) -> Tile:
    """The tile for a kernel: as asked, but one output on axes with one tap a class.

    With one tap (up to s of them with stride s) an axis saves nothing, and more outputs there
    would only be more columns with the same weights.

    Args:
        tile: Outputs per axis, or one number for all.
        taps: The kernel size.
        points: See `Tile.points`.
        stride: See `Tile.stride`.

    Raises:
        ValueError: The tile is not one to six outputs on three axes, or taps are not supported.
    """
    m = tuple(tile) if isinstance(tile, Sequence) else (tile,) * 3
    if len(m) != 3 or not all(map(is_whole, m)):
        raise ValueError(f"tile={tile!r} must be one whole number or three (depth, height, width)")
    if any(value not in range(1, MAX_OUTPUTS + 1) for value in m):
        raise ValueError(f"tile={tile!r} is out of range; each axis takes 1 to {MAX_OUTPUTS}")
    d, h, w = (1 if r <= s else size for size, r, s in zip(m, taps, stride, strict=True))
    three = (taps[0], taps[1], taps[2]), points or "", (stride[0], stride[1], stride[2])
    return Tile((d, h, w), *three)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is an int; True and False, which are ints to Python, are none here."""
    return isinstance(value, int) and not isinstance(value, bool)
