import torch
from torch import nn

from videowino.evaluation.page.content import Cube
from videowino.evaluation.page.cubes import cube_paths, cube_size, cubes_of, shades_of
from videowino.surgery import convert, prune


def test_shades_go_by_score_and_pruned_columns_have_none():
    mask = torch.tensor([True, True, False, True, True])
    scores = torch.tensor([10.0, 0.0, 50.0, 2.1, 5.9])
    assert shades_of(mask, scores) == [5, 1, 0, 2, 3]
    assert shades_of(mask, torch.zeros(5)) == [1, 1, 0, 1, 1]


def test_cubes_of_a_network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(4, 4, 3, padding=1), nn.Conv3d(4, 4, 1))
    convert(model, parameterization="vanilla", tile=(2, 2, 2))
    prune(model, 0.75, score="magnitude")
    (cube,) = cubes_of(model)
    assert (cube.layer, cube.alpha, cube.kept) == ("0", (4, 4, 4), 16)
    kept = [index for index, shade in enumerate(cube.shades) if shade]
    assert kept == model[0].column_mask.nonzero().flatten().tolist()


def test_squares_stand_by_depth_height_and_width():
    cube = Cube("a", "", (2, 1, 3), [0, 1, 1, 5, 0, 0])
    assert cube_size(cube) == (2 * 24 + 6, 8)
    assert cube_paths(cube) == [
        (0, "M0 0h7v7h-7zM38 0h7v7h-7zM46 0h7v7h-7z"),
        (1, "M8 0h7v7h-7zM16 0h7v7h-7z"),
        (5, "M30 0h7v7h-7z"),
    ]


def test_columns_that_some_blocks_keep_are_lighter():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(32, 4, 3, padding=1))
    convert(model, parameterization="vanilla", tile=(2, 2, 2))
    layer = model[0]
    with torch.no_grad():
        layer.weight.fill_(1.0)
    (before,) = cubes_of(model)
    first, second, *_ = (index for index, shade in enumerate(before.shades) if shade == 5)
    blocks = torch.ones(2, 64, dtype=torch.bool)
    blocks[:, first], blocks[1, second] = False, False
    layer.set_block_mask(blocks, compensate=False)
    (cube,) = cubes_of(model)
    changed = {i: s for i, s in enumerate(cube.shades) if s != before.shades[i]}
    assert changed == {first: 0, second: 3}  # half of it
    assert (before.left, cube.left) == ("64 of 64", "62.5 of 64, by blocks of channels")
