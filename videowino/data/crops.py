"""Which parts of a frame are looked at in a test: the centre, three along it, or ten."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

CROPS = (1, 3, 10)


class Crop(NamedTuple):
    """A part of a frame of the network's size: its first row and column, and if it is mirrored."""

    top: int
    left: int
    mirrored: bool = False

    def cut(self, frames: Tensor, size: tuple[int, int]) -> Tensor:
        """The part of frames (..., H, W); a view of them where it is not mirrored."""
        height, width = size
        part = frames[..., self.top : self.top + height, self.left : self.left + width]
        return part.flip(-1) if self.mirrored else part


def check_crops(crops: int, mirror: bool = False) -> None:
    """Refuse numbers of crops that mean nothing.

    Raises:
        ValueError: no such number, or crops mirrored twice.
    """
    if crops not in CROPS:
        raise ValueError(
            f"data.crops={crops}: 1 (centre), 3 (along the longer side) or 10 (corners and centre, "
            "each mirrored as well)"
        )
    if mirror and crops == 10:
        raise ValueError("data.mirror=True: data.crops=10 has each crop mirrored already")


def crops_of(
    height: int, width: int, size: tuple[int, int], crops: int, mirror: bool = False
) -> list[Crop]:
    """The crops of a frame.

    Args:
        height: the frame's.
        width: the frame's.
        size: the crops' height and width.
        crops: 1 is the centre. 3 are the ends and the middle of the longer side, from left to right
            or top to bottom. 10 are the corners (upper left, upper right, lower left, lower right)
            and the centre, then the same mirrored (Krizhevsky et al. 2012).
        mirror: the crops once more, mirrored.

    Raises:
        ValueError: the frame is smaller than a crop.
    """
    check_size(height, width, size)
    down, right = height - size[0], width - size[1]
    centre = Crop(down // 2, right // 2)
    if crops == 1:
        places = [centre]
    elif crops == 10:
        places = [Crop(top, left) for top in (0, down) for left in (0, right)] + [centre]
    elif right >= down:
        places = [Crop(down // 2, left) for left in (0, right // 2, right)]
    else:
        places = [Crop(top, right // 2) for top in (0, down // 2, down)]
    if mirror or crops == 10:
        places += [place._replace(mirrored=True) for place in places]
    return places


class Crops(nn.Module):
    """Frames (..., T, C, H, W) -> (crops, ..., T, C, height, width); see `crops_of`."""

    def __init__(self, size: tuple[int, int], crops: int, mirror: bool = False) -> None:
        super().__init__()
        check_crops(crops, mirror)
        self.size, self.crops, self.mirror = size, crops, mirror

    def forward(self, frames: Tensor) -> Tensor:
        """Cut."""
        height, width = frames.shape[-2:]
        places = crops_of(height, width, self.size, self.crops, self.mirror)
        return torch.stack([place.cut(frames, self.size) for place in places])


def check_size(height: int, width: int, size: tuple[int, int]) -> None:
    """Refuse frames that are smaller than the crop.

    Raises:
        ValueError: they are.
    """
    if height < size[0] or width < size[1]:
        raise ValueError(
            f"frames are {height}x{width} after data.resize, smaller than "
            f"data.size={size[0]}x{size[1]}: enlarge data.resize or crop less"
        )
