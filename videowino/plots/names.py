"""Where the names of a plot's points stand: beside their markers, covering nothing where they can.

Units are whatever the caller draws in; its second axis may point up or down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Pair = tuple[float, float]
Box = tuple[float, float, float, float]  # the lesser ends, then the greater ones

# From a marker to its name, best first: to the name's nearest corner, or the middle of a side.
OFFSETS: Sequence[Pair] = (
    *((9, -7), (9, 7), (-9, -7), (-9, 7), (15, 0), (-15, 0), (0, -13), (0, 13)),
    *((15, -28), (15, 28), (-15, -28), (-15, 28), (0, -30), (0, 30), (0, -45), (0, 45)),
)


def place_names(
    points: Sequence[Pair],
    sizes: Sequence[Pair],
    taken: Iterable[Box],
    inside: Box,
    scale: float = 1,
) -> list[Pair]:
    """For each point the first offset at which its name covers nothing, or else least.

    Args:
        points: where the markers are.
        sizes: width and height of each name.
        taken: what names should not cover; those placed before join it.
        inside: what names should not leave.
        scale: of `OFFSETS`.
    """
    covered, found = [*taken], []
    for point, size in zip(points, sizes):
        options = []
        for dx, dy in OFFSETS:
            box = box_at(point, size, (scale * dx, scale * dy))
            outside = size[0] * size[1] - _overlap(box, inside)
            over = sum(_overlap(box, other) for other in covered) + outside
            # Rounded, as the first place is to win where only the last digits differ.
            options.append((round(over, 3), (scale * dx, scale * dy), box))
        _, offset, box = min(options, key=lambda option: option[0])
        covered.append(box)
        found.append(offset)
    return found


def box_at(point: Pair, size: Pair, offset: Pair) -> Box:
    """What a name covers."""
    (left, right), (low, high) = (
        (at + by, at + by + length)
        if by > 0
        else (at + by - length, at + by)
        if by < 0
        else (at - length / 2, at + length / 2)
        for at, length, by in zip(point, size, offset)
    )
    return left, low, right, high


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)
