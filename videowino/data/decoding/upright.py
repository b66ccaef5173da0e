"""Phone video the right way up: a display matrix beside the frames says how to turn them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from videowino.data.decoding.reader import FrameReader


class Upright:
    """A reader whose frames are turned.

    Args:
        reader: gives them as they are stored.
        mirrored: mirror them, left to right, first.
        turns: quarter turns, counter-clockwise.
    """

    def __init__(self, reader: FrameReader, mirrored: bool, turns: int) -> None:
        self.num_frames, self.num_bytes, self.fps = reader.num_frames, reader.num_bytes, reader.fps
        self._reader, self._mirrored, self._turns = reader, mirrored, turns

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """uint8 T C H W, height and width swapped by a quarter turn."""
        frames = self._reader.get_frames(indices)
        return torch.rot90(frames.flip(-1) if self._mirrored else frames, self._turns, (-2, -1))
