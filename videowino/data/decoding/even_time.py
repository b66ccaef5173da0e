"""Frames at an even rate from video that has none, so that motion is as fast as it was.

Phones and screen recorders show frames for unequal times. Frame i of N is then the one that is
shown at i / (N - 1) of the time from the first to the last: dense stretches are thinned, slow ones
repeat frames, and the number of frames and the mean rate stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from videowino.data.decoding.reader import FrameReader, distinct


class EvenTime:
    """A reader at an even rate.

    Args:
        reader: gives frames one after the other, whenever they are shown.
        order: for each frame at the even rate, which of those it is; see `even_order`.
        fps: the even rate.
    """

    def __init__(self, reader: FrameReader, order: np.ndarray, fps: float) -> None:
        assert len(order) == reader.num_frames
        self.num_frames, self.num_bytes, self.fps = reader.num_frames, reader.num_bytes, fps
        self._reader, self._order = reader, order

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """uint8 T C H W.

        Raises:
            IndexError: none is asked for, or one outside the video.
        """
        distinct(indices, self.num_frames)
        return self._reader.get_frames(self._order[np.asarray(indices)].tolist())


def even_order(times: Sequence[int]) -> np.ndarray | None:
    """Which frame is shown at each step of an even rate; None where frames are even already.

    Args:
        times: when each frame is shown, ascending, in any unit.
    """
    shown = np.asarray(times, dtype=np.float64)
    if len(shown) < 3:
        return None
    even = np.linspace(shown[0], shown[-1], len(shown))
    # Time stamps are rounded: half a frame either way is not what anybody sees.
    if np.abs(shown - even).max() <= 0.5 * (even[1] - even[0]):
        return None
    return np.searchsorted(shown, even + 1e-6 * (even[1] - even[0]), side="right") - 1
