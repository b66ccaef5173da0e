"""Clips x crops, as they are given on a command line and as tensors."""

import pytest
import torch

from videowino.data.transforms import eval_transform
from videowino.evaluation.views import Views, parse_views


def test_lists_of_protocols():
    assert parse_views("1x1, 10x3,2x10") == [Views(1, 1), Views(10, 3), Views(2, 10)]
    assert str(Views(10, 3)) == "10x3"


@pytest.mark.parametrize("text", ["", "10", "0x1", "1x5", "1x1,", "10x-1", "axb", "1x0"])
def test_misuse(text):
    with pytest.raises(ValueError, match=f"views={text}: clips x crops, as 1x1,10x3; crops"):
        parse_views(text)
    with pytest.raises(ValueError, match="views=1x1,1x1: a protocol is given twice"):
        parse_views("1x1,1x1")


def test_ten_crops_are_corners_and_centre_and_these_mirrored():
    """A frame whose pixel at (y, x) is 16 y + x, before normalisation."""
    y, x = torch.meshgrid(torch.arange(8), torch.arange(12), indexing="ij")
    frames = (16 * y + x).to(torch.uint8).expand(1, 2, 3, 8, 12)
    crops = eval_transform(size=(4, 6), crops=10, mean=(0, 0, 0), std=(1, 1, 1))(frames)
    assert crops.shape == (10, 1, 3, 2, 4, 6)
    corner = (255 * crops[:, 0, 0, 0, 0, 0]).round().int().tolist()
    assert corner[:5] == [0, 6, 64, 70, 2 * 16 + 3]
    assert corner[5:] == [5, 11, 69, 75, 2 * 16 + 8]
    assert torch.equal(crops[5:], crops[:5].flip(-1))
    with pytest.raises(ValueError, match="data.mirror=True: the ten crops of data.crops=10"):
        eval_transform(size=(4, 6), crops=10, mirror=True)
