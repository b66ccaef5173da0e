"""What a video file says of itself, before any decoder is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import av

from videowino.data.decoding.remember import remembered

# Containers that can say that a picture is to be turned, or shown for longer than its neighbours.
_MODERN = ("mov", "mp4", "matroska", "webm")
_UNEVEN = 0.01  # between the mean rate and the usual one, relative


class Header(NamedTuple):
    """Of the first video stream.

    Attributes:
        frames: as declared; 0 where the container does not say.
        fps: mean frames a second.
        frame_bytes: of a decoded frame.
        turns: quarter turns, counter-clockwise, that make frames upright.
        timed: whether frames may be shown for unequal times.
    """

    frames: int
    fps: float
    frame_bytes: int
    turns: int = 0
    timed: bool = False


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
            usual = float(stream.guessed_rate or 0)
            modern = any(name in container.format.name for name in _MODERN)
            timed = modern and abs(fps - usual) > _UNEVEN * fps
            frames, turns = stream.frames, _turns(container) if modern else 0
            return Header(frames, fps, 3 * height * width, turns, timed)
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: not a readable video file ({error.strerror})") from error


def _turns(container: av.container.InputContainer) -> int:
    """The display matrix is told with frames: the first one is decoded."""
    container.streams.video[0].codec_context.thread_count = 1
    try:
        for frame in container.decode(video=0):
            return round(frame.rotation / 90) % 4
    except av.error.FFmpegError:  # readers say what is wrong with frames
        pass
    return 0
