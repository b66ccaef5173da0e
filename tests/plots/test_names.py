import pytest

from videowino.plots.names import OFFSETS, box_at, place_names

EVERYWHERE = (-1000.0, -1000.0, 1000.0, 1000.0)


@pytest.mark.parametrize(
    ("offset", "box"),
    [
        ((9, 7), (109, 57, 139, 67)),
        ((-9, -7), (61, 33, 91, 43)),
        ((15, 0), (115, 45, 145, 55)),
        ((0, -13), (85, 27, 115, 37)),
    ],
)
def test_boxes_by_hand(offset, box):
    assert box_at((100, 50), (30, 10), offset) == box


def test_the_first_place_that_is_free():
    point, size = (100.0, 50.0), (30.0, 10.0)
    assert place_names([point], [size], [], EVERYWHERE) == [OFFSETS[0]]
    first = box_at(point, size, OFFSETS[0])
    assert place_names([point], [size], [first], EVERYWHERE) == [OFFSETS[1]]
    # Two names of one point, and one that has no room to the right.
    assert place_names([point] * 2, [size] * 2, [], EVERYWHERE) == [*OFFSETS[:2]]
    assert place_names([point], [size], [], (0, 0, 120, 100)) == [OFFSETS[2]]
    assert place_names([point], [size], [], EVERYWHERE, scale=2) == [(18, -14)]


def test_the_first_place_is_not_lost_to_rounding():
    for n in range(200):
        point, size = (100 + 0.1 * n, 50 + 0.7 * n), (6.7 * (1 + n % 20), 15.0)
        assert place_names([point], [size], [], (0, 0, 1000, 1000)) == [OFFSETS[0]], n


def test_the_least_covered_place_where_none_is_free():
    point, size = (100.0, 50.0), (30.0, 10.0)
    boxes = [box_at(point, size, offset) for offset in OFFSETS]
    low = (*boxes[3][:2], boxes[3][2], boxes[3][3] - 4)  # leaves the most of the fourth free
    taken = [*boxes[:3], low, *boxes[4:]]
    covered = {box: sum(_area(box, other) for other in taken) for box in boxes}
    (offset,) = place_names([point], [size], taken, EVERYWHERE)
    assert covered[box_at(point, size, offset)] == min(covered.values()) > 0


def _area(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0, width) * max(0, height)
