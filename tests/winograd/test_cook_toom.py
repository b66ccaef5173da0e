from fractions import Fraction as Q

import pytest

from videowino.winograd.cook_toom import Transforms1d, cook_toom, verify
from videowino.winograd.points import default_points, parse_points


@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("m", range(1, 7))
def test_every_default_is_exact(m, taps):
    transforms = cook_toom(m, taps)  # verifies itself; repeated here against a written-out filter
    g = [Q(k * k - 3, 7) for k in range(taps)]
    d = [Q(5 * j - 11, 3) for j in range(m + taps - 1)]

    def times(matrix, vector):
        return [sum(a * v for a, v in zip(row, vector, strict=True)) for row in matrix]

    product = [
        u * v for u, v in zip(times(transforms.filter, g), times(transforms.input, d), strict=True)
    ]
    direct = [sum(g[k] * d[i + k] for k in range(taps)) for i in range(m)]
    assert times(transforms.output, product) == direct


def test_f23_with_customary_points_is_the_known_one():
    t = cook_toom(2, 3, parse_points("0,1,-1"))
    assert t.output == ((1, 1, 1, 0), (0, 1, -1, 1))
    assert t.filter == ((-1, 0, 0), (Q(1, 2),) * 3, (Q(1, 2), Q(-1, 2), Q(1, 2)), (0, 0, 1))
    assert t.input == ((-1, 0, 1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1))


def test_default_points_of_f43_and_of_no_other_size():
    assert default_points(5) == (0, Q(5, 8), Q(-5, 8), Q(3, 2), Q(-3, 2))
    with pytest.raises(ValueError, match="no default points for 12"):
        default_points(12)


def test_verify_finds_a_wrong_entry():
    good = cook_toom(2, 3)
    wrong = (good.output[0], (*good.output[1][:-1], Q(2)))
    with pytest.raises(ArithmeticError, match="output 1, tap 2, input 1 gives -1"):
        verify(Transforms1d(2, 3, wrong, good.filter, good.input))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("0,one", "no list of rational numbers"),
        ("1/0", "no list of rational numbers"),
        ("0,1,2/2", "names a point twice"),
    ],
)
def test_bad_points(text, match):
    with pytest.raises(ValueError, match=match):
        parse_points(text)


def test_bad_sizes():
    with pytest.raises(ValueError, match=r"F\(0, 3\) does not exist"):
        cook_toom(0, 3)
    with pytest.raises(ValueError, match=r"F\(4, 3\) needs 5 different finite points, got 0, 1"):
        cook_toom(4, 3, (Q(0), Q(1)))


@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("m", range(1, 5))
@pytest.mark.parametrize("stride", [2, 3])
def test_every_default_is_exact_with_a_stride(m, taps, stride):
    transforms = cook_toom(m, taps, stride=stride)
    g = [Q(k * k - 3, 7) for k in range(taps)]
    d = [Q(5 * j - 11, 3) for j in range(stride * (m - 1) + taps)]

    def times(matrix, vector):
        return [sum(a * v for a, v in zip(row, vector, strict=True)) for row in matrix]

    product = [
        u * v for u, v in zip(times(transforms.filter, g), times(transforms.input, d), strict=True)
    ]
    direct = [sum(g[k] * d[stride * i + k] for k in range(taps)) for i in range(m)]
    assert times(transforms.output, product) == direct
    if taps >= stride:
        assert len(transforms.input) == len(d)


def test_f23_with_stride_2_written_out():
    t = cook_toom(2, 3, parse_points("0,1"), stride=2)
    assert t.output == ((1, 1, 0, 1, 1), (0, 1, 1, 0, 1))
    assert t.filter == ((-1, 0, 0), (1, 0, 1), (0, 0, 1), (0, -1, 0), (0, 1, 0))
    assert t.input == (
        (-1, 0, 1, 0, 0),
        (0, 0, 1, 0, 0),
        (0, 0, -1, 0, 1),
        (0, -1, 0, 1, 0),
        (0, 0, 0, 1, 0),
    )


def test_bad_stride():
    with pytest.raises(ValueError, match="stride=0 does not exist"):
        cook_toom(2, 3, stride=0)
