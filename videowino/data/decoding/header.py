"""What a video file says of itself, before any decoder is chosen."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from videowino.data.decoding.remember import remembered

# By FFmpeg's first name of each. Those that can say that a picture is to be turned, and those that
# say when each one is shown (streams do too, but their clocks may jump).
_TURNING = ("mov", "matroska")
_TIMED = ("mov", "matroska", "flv", "asf")
_INDEXED = ("mov", "matroska", "flv", "avi")


class Header(NamedTuple):
    """Of the first video stream.

    Attributes:
        frames: as declared; 0 where the container does not say.
        fps: mean frames a second.
        frame_bytes: of a decoded frame.
        container: FFmpeg's name: "avi", "mov" (.mp4 too), "matroska" (.webm too), ...
        mirrored: whether frames are to be mirrored, left to right, before they are turned.
        turns: quarter turns, counter-clockwise, that then make them upright.
    """

    frames: int
    fps: float
    frame_bytes: int
    container: str = ""
    mirrored: bool = False
    turns: int = 0

    @property
    def timed(self) -> bool:
        """Whether frames may be shown for unequal times."""
        return self.container in _TIMED

    @property
    def indexed(self) -> bool:
        """Whether FFmpeg goes to key frames by an index; elsewhere it may land between them."""
        return self.container in _INDEXED

    @property
    def upright(self) -> bool:
        """Whether frames are stored as they are to be seen."""
        return not (self.mirrored or self.turns)


@remembered
def read_header(path: Path) -> Header:
    """The header of a file that is there and is not empty.

    Raises:
        ValueError: no video that can be read.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path}: no video stream in the file (audio only?)")
            stream = container.streams.video[0]
            context = stream.codec_context
            height, width = context.height, context.width
            if not height * width or context.pix_fmt is None:
                raise ValueError(f"{path}: no frame can be decoded: empty or corrupt video stream")
            fps = float(stream.average_rate or stream.guessed_rate or 0)
            name = container.format.name.split(",")[0]
            seen = _orientation(container) if name in _TURNING else (False, 0)
            return Header(stream.frames, fps, 3 * height * width, name, *seen)
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: not a readable video file ({error.strerror})") from error


def _orientation(container: av.container.InputContainer) -> tuple[bool, int]:
    """Whether mirrored, and turns. The display matrix is told with frames: one is decoded."""
    container.streams.video[0].codec_context.thread_count = 1
    try:
        for frame in container.decode(video=0):
            matrix: Any = frame.side_data.get("DISPLAYMATRIX")
            return (False, 0) if matrix is None else orientation(np.frombuffer(matrix, np.int32))
    except av.error.FFmpegError:  # readers say what is wrong with frames
        pass
    return False, 0


def orientation(matrix: np.ndarray) -> tuple[bool, int]:
    """Whether frames are mirrored, and the quarter turns after that.

    Args:
        matrix: nine numbers, of which the first of a row are a, b and c, d: the pixel at (x, y),
            y downwards, is shown at (a x + c y, b x + d y).
    """
    a, b, c, d = (float(matrix[place]) for place in (0, 1, 3, 4))
    mirrored = a * d < b * c
    if mirrored:
        a, b = -a, -b
    return mirrored, round(-math.atan2(b, a) / (math.pi / 2)) % 4
