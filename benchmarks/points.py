"""Where the default interpolation points come from: ``python -m benchmarks.points``.

For every number of finite points, searches sets of multiples of 1/8 (pairs +-p, with 0 or one more
where the number asks for it) for the least first-order rounding error of the F(m, r) in which the
set is used most: when U and V are rounded independently, output i has the error variance
``sum_p A_ip^2 |g_p|^2 |b_p|^2`` for white input. Prints the defaults beside the best and the
customary ones, with the error of float32 convolutions measured next to the estimate.
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

# The F(m, r) that stands for each number of points.
USES = {2: (2, 2), 3: (2, 3), 4: (3, 3), 5: (4, 3), 6: (5, 3), 7: (6, 3)}
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


def estimate(m: int, taps: int, points: Points) -> float:
    """The error estimate of the module's header, relative to the output's size."""
    x = torch.tensor([float(p) for p in points], dtype=torch.float64)
    differences = x[:, None] - x + torch.eye(len(x), dtype=torch.float64)
    filters = x[:, None] ** torch.arange(taps) / differences.prod(1, keepdim=True)
    filters = torch.cat([filters.square().sum(1), torch.ones(1, dtype=torch.float64)])
    rows = [_monic(x[torch.arange(len(x)) != j]) for j in range(len(x))] + [_monic(x)]
    inputs = torch.stack([row.square().sum() for row in rows])
    outputs = torch.cat([x ** torch.arange(m)[:, None], torch.zeros(m, 1)], 1)
    outputs[-1, -1] = 1
    return ((outputs.square() @ (filters * inputs)).mean() / taps).sqrt().item()


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
    row = torch.ones(1, dtype=torch.float64)
    for root in roots:
        row = torch.cat([torch.zeros(1), row]) - root * torch.cat([row, torch.zeros(1)])
    return row


def main() -> None:
    """Search, and print the table."""
    table = Table("F(m, r)", "points", "set", "estimate", "float32 error, 3D layer")
    for count, (m, taps) in track(USES.items(), "searching"):
        best = min(candidates(count), key=lambda points: estimate(m, taps, points))
        kinds = {"default": default_points(count), "best found": best}
        if count in CUSTOMARY:
            kinds["customary"] = tuple(map(Fraction, CUSTOMARY[count].split(",")))
        for kind, points in kinds.items():
            cook_toom(m, taps, points)  # exact, or it raises
            table.add_row(
                f"F({m}, {taps})",
                ", ".join(map(str, points)),
                kind,
                f"{estimate(m, taps, points):.3f}",
                f"{measure(m, taps, points):.2e}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
