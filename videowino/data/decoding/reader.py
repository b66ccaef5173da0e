"""What every reader of a video file is, and what readers share.

Shapes: frames T C H W uint8.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

# Files end up to a few packets before or after what their header says, all of them playable.
_TAIL_FRAMES = 3
TAIL_SHARE = 0.05


class DecoderError(RuntimeError):
    """The decoder asked for is not installed, or is not for a file that others read.

    No `ValueError`, which of a video means that another can take its place.
    """


class FrameReader(Protocol):
    """The frames of one open file, as a viewer sees them: upright, at an even rate."""

    num_frames: int
    num_bytes: int  # of all frames, decoded
    fps: float

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Decode frames `indices`, in that order, repeats allowed: uint8 T C H W."""
        ...


def tail(num_frames: int) -> float:
    """How many frames at the end may be missing of so many."""
    return max(_TAIL_FRAMES, TAIL_SHARE * num_frames)


def check_whole(path: Path, declared: int, held: int) -> None:
    """Refuse a file that lacks more of the frames that its header declares than its tail.

    Raises:
        ValueError: it does.
    """
    if declared - held > tail(declared):
        raise ValueError(
            f"{path}: truncated: its header declares {declared} frames, the file holds {held}"
        )


def distinct(indices: Sequence[int] | Tensor, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct indices, ascending, and where each of `indices` is among them.

    Raises:
        IndexError: none is asked for, or one outside the video.
    """
    wanted, back = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
    if wanted.size == 0 or wanted[0] < 0 or wanted[-1] >= num_frames:
        raise IndexError(f"frame indices {list(indices)} outside 0..{num_frames - 1}")
    return wanted, back


def arrange(frames: Tensor, back: np.ndarray) -> Tensor:
    """frames: T H W C of the distinct indices -> those asked for, in their order, T C H W."""
    if not np.array_equal(back, np.arange(len(frames))):
        frames = frames[torch.from_numpy(back)]
    return frames.permute(0, 3, 1, 2)
