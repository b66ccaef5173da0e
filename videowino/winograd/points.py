"""Interpolation points for Cook-Toom: the defaults, and how to write one's own.

The points decide how much rounding error a Winograd convolution adds. The defaults minimise the
first-order error estimate of `benchmarks/points.py`, which repeats the search (``python -m
benchmarks.points``): over sets of pairs +-p with multiples of 1/8 up to 3, odd counts with 0, even
ones also with 0 and an unpaired point. Eighths keep A^T and B^T exact in float32. For F(4, 3) the
defaults give a third of the error of the customary 0, +-1, +-2.
"""

from fractions import Fraction

_DEFAULTS: dict[int, str] = {
    1: "0",
    2: "5/8,-5/8",
    3: "0,1,-1",
    4: "3/8,-3/8,5/4,-5/4",
    5: "0,5/8,-5/8,3/2,-3/2",
    6: "1/4,-1/4,7/8,-7/8,7/4,-7/4",
    7: "0,1/2,-1/2,1,-1,2,-2",
    8: "1/4,-1/4,5/8,-5/8,9/8,-9/8,9/4,-9/4",
    9: "0,3/8,-3/8,3/4,-3/4,5/4,-5/4,19/8,-19/8",
    10: "1/4,-1/4,5/8,-5/8,7/8,-7/8,11/8,-11/8,21/8,-21/8",
    11: "0,3/8,-3/8,5/8,-5/8,1,-1,3/2,-3/2,23/8,-23/8",
}


def parse_points(text: str) -> tuple[Fraction, ...]:
    """Read comma-separated rationals such as ``"0,5/8,-5/8,3/2,-3/2"``.

    Raises:
        ValueError: A point is no rational number, or stands twice.
    """
    try:
        points = tuple(Fraction(word.strip()) for word in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise ValueError(
            f"points={text!r} is no list of rational numbers; write for example '0,1,-1' or '0,5/8'"
        ) from None
    if len(set(points)) != len(points):
        raise ValueError(f"points={text!r} names a point twice; all points must differ")
    return points


def default_points(count: int) -> tuple[Fraction, ...]:
    """The `count` finite points used when none are given (infinity is always added).

    Args:
        count: Number of finite points, m + r - 2 for F(m, r).

    Raises:
        ValueError: There is no default for so many points.
    """
    if count not in _DEFAULTS:
        raise ValueError(
            f"no default points for {count} finite points (1 to {max(_DEFAULTS)} have them); "
            "pass points= or a smaller tile"
        )
    return parse_points(_DEFAULTS[count])
