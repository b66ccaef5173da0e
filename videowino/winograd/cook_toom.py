"""Cook-Toom transform matrices of F(m, r), in exact rational arithmetic.

F(m, r) computes m outputs of an r-tap filter, ``y_i = sum_k g_k d_{i+k}``, as
``y = A^T [(G g) * (B^T d)]`` with alpha = m + r - 1 multiplications in place of m r
(Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, arXiv 1509.09308).
It is Toom-Cook polynomial multiplication, transposed: evaluate at alpha - 1 finite points and
at infinity, multiply point by point, interpolate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from videowino.winograd.points import default_points

Matrix = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True)
class Transforms1d:
    """The three matrices of F(m, r), exact.

    Attributes:
        output: A^T, m x alpha.
        filter: G, alpha x r.
        input: B^T, alpha x alpha.
    """

    m: int
    taps: int
    output: Matrix
    filter: Matrix
    input: Matrix


@cache
def cook_toom(m: int, taps: int, points: tuple[Fraction, ...] | None = None) -> Transforms1d:
    """Build and verify the matrices of F(m, taps).

    With one tap or one output there is nothing to save, and the matrices are the trivial exact
    ones (identity transforms, alpha = m + taps - 1 all the same).

    Args:
        m: Outputs per tile.
        taps: Filter taps, r.
        points: The m + taps - 2 finite points; the defaults of `default_points` otherwise.
            Infinity is always the last point. Unused with one tap or one output.

    Raises:
        ValueError: m or taps below 1, or the wrong number of points, or a point twice.
    """
    if m < 1 or taps < 1:
        raise ValueError(f"F({m}, {taps}) does not exist; outputs and taps are at least 1")
    if m == 1 or taps == 1:
        result = _trivial(m, taps)
    else:
        count = m + taps - 2
        chosen = default_points(count) if points is None else points
        if len(chosen) != count or len(set(chosen)) != count:
            raise ValueError(
                f"F({m}, {taps}) needs {count} different finite points, got "
                f"{', '.join(map(str, chosen))}"
            )
        result = _from_points(m, taps, chosen)
    verify(result)
    return result


def verify(transforms: Transforms1d) -> None:
    """Check the bilinear identity exactly: sum_p A^T[i,p] G[p,k] B^T[p,j] = [j == i + k].

    Raises:
        ArithmeticError: The matrices do not compute the convolution.
    """
    a, g, b = transforms.output, transforms.filter, transforms.input
    alpha = len(b)
    for i in range(transforms.m):
        for k in range(transforms.taps):
            for j in range(alpha):
                total = sum(a[i][p] * g[p][k] * b[p][j] for p in range(alpha))
                if total != (j == i + k):
                    raise ArithmeticError(
                        f"F({transforms.m}, {transforms.taps}): output {i}, tap {k}, "
                        f"input {j} gives {total}"
                    )


def _from_points(m: int, taps: int, points: tuple[Fraction, ...]) -> Transforms1d:
    zero, one = Fraction(0), Fraction(1)
    others = [points[:j] + points[j + 1 :] for j in range(len(points))]
    scale = [_product(x - y for y in rest) for x, rest in zip(points, others, strict=True)]
    at_infinity = (zero,) * len(points) + (one,)
    output = [tuple(x**i for x in points) + (one if i == m - 1 else zero,) for i in range(m)]
    filter_rows = [tuple(x**k / f for k in range(taps)) for x, f in zip(points, scale, strict=True)]
    filter_rows.append(at_infinity[-taps:])
    input_rows = [(*_monic_with_roots(rest), zero) for rest in others]
    input_rows.append(tuple(_monic_with_roots(points)))
    return Transforms1d(m, taps, tuple(output), tuple(filter_rows), tuple(input_rows))


def _trivial(m: int, taps: int) -> Transforms1d:
    alpha = m + taps - 1
    one = Fraction(1)
    identity = tuple(tuple(Fraction(i == j) for j in range(alpha)) for i in range(alpha))
    if taps == 1:
        return Transforms1d(m, 1, identity, ((one,),) * m, identity)
    return Transforms1d(1, taps, ((one,) * taps,), identity, identity)


def _monic_with_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients, constant first, of prod (x - root)."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [-root * c for c in coefficients] + [Fraction(0)]
        coefficients = [s + c for s, c in zip(shifted, scaled, strict=True)]
    return coefficients


def _product(values) -> Fraction:
    result = Fraction(1)
    for value in values:
        result *= value
    return result
