"""What clips can be made into: checks of a data module's arguments, before anything is read."""

from __future__ import annotations

from collections.abc import Sequence

from videowino.cli import require
from videowino.data.augment import MAGNITUDES


def check_transforms(
    *,
    size: tuple[int, int],
    resize: int | tuple[int, int] | None,
    scale: tuple[float, float] | None,
    stretch: float,
    rand_augment: tuple[int, int] | None,
    color_jitter: float,
    random_erasing: float,
    std: Sequence[float],
) -> None:
    """Refuse what no transform can do; the arguments are `VideoDataModule`'s.

    Raises:
        ValueError: an argument out of its range.
    """
    require(
        len(size) == 2 and min(size) >= 1, f"data.size={list(size)}: height and width, at least 1"
    )
    sides = [] if resize is None else [resize] if isinstance(resize, int) else list(resize)
    require(
        all(side >= 1 for side in sides) and len(sides) <= 2,
        f"data.resize={resize}: one side, or height and width, at least 1; null keeps the frames'",
    )
    least = [min(size)] if len(sides) == 1 else size
    require(
        all(side >= small for side, small in zip(sides, least)),
        f"data.resize={resize}: smaller than data.size={list(size)}; enlarge it, or crop less",
    )
    if scale is not None:
        low, high = scale
        require(
            0 < low <= high <= 1,
            f"data.scale={list(scale)}: shares of the frame, the smaller first, above 0 to 1",
        )
    require(stretch >= 1, f"data.stretch={stretch}: at least 1, which keeps the shape")
    if rand_augment is not None:
        num_ops, magnitude = rand_augment
        require(
            num_ops >= 1 and 0 <= magnitude <= MAGNITUDES,
            f"data.rand_augment={list(rand_augment)}: operations a clip, at least 1, and their "
            f"magnitude, 0 to {MAGNITUDES}; null for none",
        )
    require(color_jitter >= 0, f"data.color_jitter={color_jitter}: 0 (off) or more")
    require(0 <= random_erasing <= 1, f"data.random_erasing={random_erasing}: from 0 to 1")
    require(min(std) > 0, f"data.std={list(std)}: above 0")
