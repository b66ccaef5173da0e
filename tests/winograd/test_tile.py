import pytest

from videowino.winograd import Tile, fit_tile


def test_sizes_of_a_tile():
    tile = Tile((2, 4, 4), (3, 3, 3))
    assert tile.alpha == (4, 6, 6)
    assert tile.positions == 144
    assert str(tile) == "F(2x4x4, 3x3x3)"


def test_an_axis_with_one_tap_takes_one_output():
    assert fit_tile((2, 4, 4), (1, 3, 3)).m == (1, 4, 4)
    assert fit_tile((2, 4, 4), (3, 1, 1)).m == (2, 1, 1)
    assert fit_tile(4, (3, 3, 3)).m == (4, 4, 4)


def test_points_per_axis():
    tile = Tile((2, 4, 1), (3, 3, 3), "0,1,-1; 0,1,-1,2,-2; ")
    depth, height, _ = tile.transforms()
    assert depth.output[1] == (0, 1, -1, 1)
    assert height.output[1] == (0, 1, -1, 2, -2, 0)


@pytest.mark.parametrize("tile", [0, 7, (2, 4), (2, 4, 9), (2, 4, 4, 4)])
def test_tile_out_of_range(tile):
    with pytest.raises(ValueError, match=r"tile=.* (out of range|one whole number or three)"):
        fit_tile(tile, (3, 3, 3))


def test_taps_and_points_out_of_range():
    with pytest.raises(ValueError, match=r"taps=\(3, 6, 3\) is out of range"):
        Tile((2, 2, 2), (3, 6, 3))
    with pytest.raises(ValueError, match="has 2 lists; give one, or three"):
        Tile((2, 2, 2), (3, 3, 3), "0,1,-1;0,1,-1")
    with pytest.raises(ValueError, match=r"F\(4, 3\) needs 5 different finite points"):
        fit_tile((2, 4, 4), (3, 3, 3), "0,1,-1")


def test_sizes_of_a_tile_with_strides():
    tile = Tile((2, 4, 1), (3, 7, 1), stride=(2, 2, 1))
    assert tile.alpha == tile.samples == (5, 13, 1)
    assert tile.step == (4, 8, 1)
    assert tile.phase_taps == (2, 4, 1)
    assert tile.positions == 65
    assert str(tile) == "F(2x4x1, 3x7x1 / 2x2x1)"


def test_samples_that_a_stride_passes_over():
    tile = Tile((3, 1, 1), (1, 3, 3), stride=(2, 1, 1))
    assert tile.alpha == (3, 3, 3)
    assert tile.samples == (5, 3, 3)


def test_one_output_where_each_class_has_one_tap():
    assert fit_tile(4, (2, 3, 1), stride=(2, 2, 1)).m == (1, 4, 1)


def test_points_of_a_tile_with_strides_are_those_of_a_class():
    depth, _, _ = fit_tile((2, 2, 2), (3, 3, 3), "0,1", (2, 2, 2)).transforms()
    assert depth.output[1] == (0, 1, 1, 0, 1)


def test_stride_out_of_range():
    with pytest.raises(ValueError, match=r"stride=\(1, 3, 1\) is out of range"):
        Tile((2, 2, 2), (3, 3, 3), stride=(1, 3, 1))
