"""Where the default interpolation points come from: ``python -m benchmarks.points``.

For every number of finite points, searches sets of multiples of 1/8 up to 3 (pairs +-p; odd
numbers with 0, even ones also with 0 and an unpaired point) for the least first-order rounding
error of one F(m, r) that takes so many, see `videowino.winograd.rounding`. Prints the defaults
beside the best and the customary ones, with the error of float32 convolutions measured next to
the estimate.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from rich.table import Table

from videowino.winograd import Tile, cook_toom, winograd_conv3d
from videowino.winograd.points import default_points
from videowino.winograd.rounding import amplification

# The F(m, r) that stands for each number of points.
USES = {
    2: (2, 2),
    3: (2, 3),
    4: (3, 3),
    5: (4, 3),
    6: (5, 3),
    7: (6, 3),
    8: (5, 5),
    9: (6, 5),
    10: (5, 7),
    11: (6, 7),
}
CUSTOMARY = {3: "0,1,-1", 5: "0,1,-1,2,-2", 7: "0,1,-1,2,-2,1/2,-1/2"}
Points = tuple[Fraction, ...]


def candidates(count: int, largest: int = 24) -> Iterator[Points]:
    """Sets of `count` points, multiples of 1/8 up to largest / 8."""
    pool = [Fraction(i, 8) for i in range(1, largest + 1)]
    zero = (Fraction(0),)

    def pairs(chosen: Points) -> Points:
        return tuple(sign * value for value in chosen for sign in (1, -1))

    if count % 2:
        for chosen in combinations(pool, count // 2):
            yield zero + pairs(chosen)
        return
    for chosen in combinations(pool, count // 2):
        yield pairs(chosen)
    for chosen in combinations(pool, count // 2 - 1):
        for extra in pool:
            if extra not in chosen:
                yield zero + pairs(chosen) + (extra,)


def best(m: int, taps: int) -> Points:
    """The candidates with the least estimate for F(m, taps)."""
    found = list(candidates(m + taps - 2))
    x = torch.tensor([[float(p) for p in points] for points in found], dtype=torch.float64)
    return found[int(torch.cat([estimates(m, taps, some) for some in x.split(1 << 14)]).argmin())]


def estimates(m: int, taps: int, x: torch.Tensor) -> torch.Tensor:
    """`amplification` of F(m, taps) for many sets of points at once, a row of x each."""
    sets, count = x.shape
    scale = (x[:, :, None] - x[:, None] + torch.eye(count)).prod(2)
    filters = (x[:, :, None] ** (2 * torch.arange(taps))).sum(2) / scale**2
    outputs = (x[:, :, None] ** (2 * torch.arange(m))).sum(2)
    others = [torch.arange(count) != j for j in range(count)]
    inputs = torch.stack([_monic(x[:, rest]).square().sum(1) for rest in others], 1)
    at_infinity = _monic(x).square().sum(1)
    return (((filters * inputs * outputs).sum(1) + at_infinity) / (m * taps)).sqrt()


def measure(m: int, taps: int, points: Points) -> float:
    """Relative RMS error of one float32 layer of 64 channels against float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 64, 2 * m, 2 * m, 2 * m, generator=generator, dtype=torch.float64)
    weight = torch.randn(16, 64, taps, taps, taps, generator=generator, dtype=torch.float64)
    tile = Tile((m, m, m), (taps,) * 3, ",".join(map(str, points)))
    exact = F.conv3d(x, weight, padding=taps // 2)
    y = winograd_conv3d(
        x.float(), out_channels=16, tile=tile, spatial=weight.float(), padding=taps // 2
    )
    return ((y.double() - exact).norm() / exact.norm()).item()


def _monic(roots: torch.Tensor) -> torch.Tensor:
    """Coefficients of the polynomials with these roots, a row each, constant first."""
    rows = torch.ones(len(roots), 1, dtype=torch.float64)
    for root in roots.T:
        rows = F.pad(rows, (1, 0)) - root[:, None] * F.pad(rows, (0, 1))
    return rows


def main() -> None:
    """Search, and print the table."""
    table = Table("F(m, r)", "points", "set", "estimate", "float32 error, 3D layer")
    for count, (m, taps) in track(USES.items(), "searching"):
        kinds = {"default": default_points(count), "best found": best(m, taps)}
        if count in CUSTOMARY:
            kinds["customary"] = tuple(map(Fraction, CUSTOMARY[count].split(",")))
        for kind, points in kinds.items():
            table.add_row(
                f"F({m}, {taps})",
                ", ".join(map(str, points)),
                kind,
                f"{amplification(cook_toom(m, taps, points)):.3f}",
                f"{measure(m, taps, points):.2e}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
