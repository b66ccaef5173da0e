"""Frames by decord, which seeks and converts only what is asked for.

It trusts the index of a file too much: where frames are not stored in the order that they are shown
in (.avi files, open groups of pictures), where some are not shown, or where there is no index, it
returns neighbours of the frame asked for. Such files are not for it, and none that is to be turned,
which it does by halves.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from videowino.data.decoding.header import Header
from videowino.data.decoding.packets import Packets
from videowino.data.decoding.pyav_reader import PyAVReader
from videowino.data.decoding.reader import arrange, distinct

# Where decord seeks and then meets the end of the stream, its threads race: the last frame is now
# and then an earlier one (seen with decord2 3.4 on original UCF101 clips; one more to be safe).
_UNSAFE_TAIL = 2


def open_decord(path: Path, header: Header, packets: Packets) -> DecordReader | None:
    """A reader; None where decord cannot open the file or cannot be trusted with it."""
    if not header.indexed or not header.upright:
        return None
    if not packets.times or packets.leading or packets.hidden:
        return None
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    _collect_before_forks()
    try:
        # One thread: the loader's workers are the parallel part, and small files gain nothing.
        video = decord.VideoReader(str(path), num_threads=1)
    except (decord.DECORDError, RuntimeError):
        return None
    if len(video) != packets.count or (header.frames and len(video) != header.frames):
        return None
    # It must find every frame where the packets say that it is.
    shown = np.asarray(video.get_frame_timestamp(np.arange(len(video))), np.float64)[:, 0]
    times = np.asarray(packets.times, np.float64) * packets.unit
    off = np.abs((shown - shown[0]) - (times - times[0])).max()
    if off > 0.25 * np.diff(times, append=np.inf).min():
        return None
    return DecordReader(path, video, header)


class DecordReader:
    """See `FrameReader`."""

    def __init__(self, path: Path, video, header: Header) -> None:
        self.path, self.video, self.header = path, video, header
        self.num_frames, self.fps = len(video), header.fps
        self.num_bytes = self.num_frames * header.frame_bytes
        self._behind: PyAVReader | None = None

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """uint8 T C H W."""
        import decord

        wanted, back = distinct(indices, self.num_frames)
        seeks = len(wanted) < self.num_frames
        if seeks and wanted[-1] >= self.num_frames - _UNSAFE_TAIL:
            return self._by_pyav(indices)
        try:
            batch = self.video.get_batch(wanted)
        except (decord.DECORDError, RuntimeError, IndexError):
            # PyAV gives the frames that can be decoded, or the reason why there are none.
            return self._by_pyav(indices)
        return arrange(torch.from_dlpack(batch.to_dlpack()), back)

    def _by_pyav(self, indices: Sequence[int] | Tensor) -> Tensor:
        if self._behind is None:
            self._behind = PyAVReader(self.path, self.header)
        return self._behind.get_frames(indices)


@cache
def _collect_before_forks() -> None:
    """A worker that inherits a forgotten reader must not destroy it.

    Its threads are not there, and joining them ends the process.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=gc.collect)
