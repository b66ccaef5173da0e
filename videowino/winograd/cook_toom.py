"""Cook-Toom transform matrices of F(m, r), in exact rational arithmetic.

F(m, r) computes m outputs of an r-tap filter, ``y_i = sum_k g_k d_{i+k}``, as
``y = A^T [(G g) * (B^T d)]`` with alpha = m + r - 1 multiplications in place of m r
(Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, arXiv 1509.09308).
It is Toom-Cook polynomial multiplication, transposed: evaluate at alpha - 1 finite points and
at infinity, multiply point by point, interpolate.

With stride s output i meets sample s i + k with tap k. Taps of one class, k = q, q + s, ..., meet
every s-th sample: each class is an F(m, ceil(r / s)) of its own, and their outputs are summed. Its
positions stand class after class. A class with a tap less than the others has nothing at infinity,
and leaves it out: all in all s (m - 1) + r positions where r >= s, as many as there are samples.
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
        input: B^T, alpha x samples (s (m - 1) + r of them).
    """

    m: int
    taps: int
    output: Matrix
    filter: Matrix
    input: Matrix
    stride: int = 1


@cache
def cook_toom(
    m: int, taps: int, points: tuple[Fraction, ...] | None = None, stride: int = 1
) -> Transforms1d:
    """Build and verify the matrices of F(m, taps), or of F(m, taps / stride).

    With one tap or one output there is nothing to save, and the matrices are the trivial exact
    ones (identity transforms, alpha = m + taps - 1 all the same).

    Args:
        m: Outputs per tile.
        taps: Filter taps, r.
        points: The m + taps - 2 finite points; the defaults of `default_points` otherwise.
            Infinity is always the last point. Unused with one tap or one output. With a stride
            those of one class, of ceil(taps / stride) taps.
        stride: Samples from one output's first to the next one's.

    Raises:
        ValueError: m, taps or stride below 1, or the wrong number of points, or a point twice.
    """
    if m < 1 or taps < 1:
        raise ValueError(f"F({m}, {taps}) does not exist; outputs and taps are at least 1")
    if stride < 1:
        raise ValueError(f"stride={stride} does not exist; it is at least 1")
    if stride > 1:
        result = _by_classes(cook_toom(m, -(-taps // stride), points), taps, stride)
        verify(result)
        return result
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
    """Check the bilinear identity exactly: sum_p A^T[i,p] G[p,k] B^T[p,j] = [j == s i + k].

    Raises:
        ArithmeticError: The matrices do not compute the convolution.
    """
    a, g, b = transforms.output, transforms.filter, transforms.input
    alpha = len(b)
    for i in range(transforms.m):
        for k in range(transforms.taps):
            for j in range(len(b[0])):
                total = sum(a[i][p] * g[p][k] * b[p][j] for p in range(alpha))
                if total != (j == transforms.stride * i + k):
                    raise ArithmeticError(
                        f"F({transforms.m}, {transforms.taps}): output {i}, tap {k}, "
                        f"input {j} gives {total}"
                    )


def _by_classes(one: Transforms1d, taps: int, stride: int) -> Transforms1d:
    """One class's matrices put together to those of all of them."""
    m, zero = one.m, Fraction(0)
    samples = stride * (m - 1) + taps
    output: list[list[Fraction]] = [[] for _ in range(m)]
    filter_rows, input_rows = [], []
    for first in range(min(taps, stride)):
        own = range(first, taps, stride)
        positions = m + len(own) - 1
        for i in range(m):
            output[i] += one.output[i][:positions]
        for p in range(positions):
            row, seen = [zero] * taps, [zero] * samples
            row[first::stride] = one.filter[p][: len(own)]
            seen[first : first + stride * (positions - 1) + 1 : stride] = one.input[p][:positions]
            filter_rows.append(tuple(row))
            input_rows.append(tuple(seen))
    return Transforms1d(
        m, taps, tuple(map(tuple, output)), tuple(filter_rows), tuple(input_rows), stride
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
