"""A video decoded once and kept in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from videowino.data.decoding.reader import FrameReader


class KeptVideo:
    """All frames of a reader; a reader itself."""

    def __init__(self, reader: FrameReader) -> None:
        self.num_frames, self.num_bytes, self.fps = reader.num_frames, reader.num_bytes, reader.fps
        self._frames = reader.get_frames(range(reader.num_frames)).permute(0, 2, 3, 1)

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Copies of the frames, uint8 T C H W."""
        return self._frames[torch.as_tensor(indices)].permute(0, 3, 1, 2)
