"""Frames by PyAV: decoding begins at the key frame before the first one wanted.

Frames are known by the time they are shown at. Where a file does not tell, they are counted from
the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from videowino.data.decoding.header import Header
from videowino.data.decoding.packets import Packets, read_packets
from videowino.data.decoding.reader import arrange, distinct, tail


class PyAVReader:
    """See `FrameReader`.

    Attributes:
        decoded: frames decoded so far, wanted or not.
    """

    def __init__(self, path: Path, header: Header, packets: Packets | None = None) -> None:
        self.path, self.fps = path, header.fps
        self._packets = read_packets(path) if packets is None else packets
        self.num_frames = self._packets.count
        self._seeks = bool(self._packets.times) and header.indexed
        self.num_bytes = self.num_frames * header.frame_bytes
        self.decoded = 0
        self._stream: Iterator[tuple[int, av.VideoFrame]] | None = None
        self._next = 0  # the frame that the stream gives next

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """uint8 T C H W."""
        wanted, back = distinct(indices, self.num_frames)
        numbers: list[int] = wanted.tolist()
        going_on = self._stream is not None and numbers[0] >= self._next
        ahead = numbers[-1] + 1 - (self._next if going_on else 0)
        frames = None
        if self._seeks and self._packets.frames_to_decode(numbers) < ahead:
            frames = self._sought(numbers)
        if frames is None:
            frames = self._counted(numbers)
        return arrange(torch.from_numpy(np.stack(frames)), back)

    def _sought(self, wanted: Sequence[int]) -> list[np.ndarray] | None:
        """The frames by their times; None where one is not met where it should be."""
        packets = self._packets
        frames: list[np.ndarray] = []
        try:
            with av.open(str(self.path)) as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                running, done = container.decode(stream), 0
                for number in wanted:
                    start = packets.start_of(number)
                    if start > done:
                        container.seek(packets.times[start], stream=stream)
                        running = container.decode(stream)
                        first = self._until(running, packets.times[start])
                        if first is None or not first.key_frame:
                            return None
                        running = chain([first], running)
                        self.decoded -= 1
                    frame, done = self._until(running, packets.times[number]), number + 1
                    if frame is None:
                        return None
                    frames.append(_to_rgb(frame))
        except av.error.FFmpegError:
            return None  # from the start, where it is told how far decoding goes
        return frames

    def _until(self, running: Iterator[av.VideoFrame], time: int) -> av.VideoFrame | None:
        """The frame that is shown at a time; None where there is none."""
        for frame in running:
            self.decoded += 1
            if frame.pts is None or frame.pts > time:
                return None
            if frame.pts == time:
                return frame
        return None

    def _counted(self, wanted: Sequence[int]) -> list[np.ndarray]:
        """The frames by counting from the start, or from where the last call ended."""
        frames: list[np.ndarray] = []
        if self._stream is None or wanted[0] < self._next:
            self._stream, self._next = enumerate(self._decode()), 0
        stream, self._stream = self._stream, None  # lost where decoding fails
        last: av.VideoFrame | None = None
        try:
            for number, last in stream:
                self.decoded += 1
                self._next = number + 1
                if number == wanted[len(frames)]:
                    frames.append(_to_rgb(last))
                if len(frames) == len(wanted):
                    self._stream = stream
                    return frames
        except av.error.FFmpegError as error:
            raise ValueError(
                f"{self.path}: corrupt: decoding stops after {self._next} of {self.num_frames} "
                f"frames ({error.strerror})"
            ) from error
        return frames + [self._last(last)] * (len(wanted) - len(frames))

    def _last(self, last: av.VideoFrame | None) -> np.ndarray:
        """What stands in for frames at the end that do not decode."""
        if last is None and self._next:  # the stream was at its end already
            *_, last = self._decode()
        if last is None or self.num_frames - self._next > tail(self.num_frames):
            raise ValueError(
                f"{self.path}: corrupt: only {self._next} of {self.num_frames} frames decode"
            )
        return _to_rgb(last)

    def _decode(self) -> Iterator[av.VideoFrame]:
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            yield from container.decode(stream)


def _to_rgb(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="rgb24", threads=1)
