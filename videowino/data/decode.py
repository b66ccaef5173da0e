"""Read chosen frames of a video file: decord first, PyAV behind it.

decord seeks and converts only what is asked for, but it trusts the index of a file too much: where
the container's frame count and its own differ, or where a DivX "packed bitstream" puts two key
packets in a row (all of HMDB51), it returns neighbours of the frame asked for. PyAV decodes from
the start and is right on both, so such files go to it.
"""

from __future__ import annotations

import gc
import importlib.util
import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import av
import numpy as np
import torch
from torch import Tensor

from videowino.data.matroska import missing_share

# Where decord seeks and then meets the end of the stream, its threads race: the last frame is now
# and then an earlier one (seen with decord2 3.4 on original UCF101 clips; one more to be safe).
_UNSAFE_TAIL = 2
DECODERS = ("auto", "decord", "pyav")

# Files end up to a few packets before or after what their header says, all of them playable.
_TAIL_FRAMES = 3
_TAIL_SHARE = 0.05


class FrameReader(Protocol):
    """The frames of one open file."""

    num_frames: int
    num_bytes: int  # of all frames, decoded
    fps: float

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Decode frames `indices`, in that order, repeats allowed: uint8 T C H W."""
        ...


def open_video(path: str | Path, decoder: str = "auto") -> FrameReader:
    """Open a video file for reading single frames.

    Args:
        path: the file.
        decoder: "auto" (decord where it is installed and can be trusted with this file, else
            PyAV), "decord" or "pyav".

    Returns:
        A reader with `num_frames`, `fps` and `get_frames(indices)`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty, corrupt, truncated (where its header tells: a stream
            without frame count or size, as live recordings are, ends where it ends) or holds no
            video; or the decoder is
            unknown, not installed, or cannot be trusted with this file.
    """
    if decoder not in DECODERS:
        raise ValueError(f"data.decoder={decoder!r}: choose one of {', '.join(DECODERS)}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such video file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty (0 bytes)")
    header = _read_header(path)
    missing = missing_share(path)
    if missing > _TAIL_SHARE:
        raise ValueError(f"{path}: truncated: {missing:.0%} of it are missing at the end")
    if decoder != "pyav" and importlib.util.find_spec("decord") is not None:
        reader = _open_decord(path, header)
        if reader is not None:
            return reader
        if decoder == "decord":
            raise ValueError(
                f"{path}: decord cannot read single frames of it; set data.decoder=auto or pyav"
            )
    elif decoder == "decord":
        raise ValueError("data.decoder='decord': not installed; `pip install decord2`, or use pyav")
    return _PyAVReader(path, header)


class _Header(NamedTuple):
    frames: int  # as declared; 0 where the container does not say
    fps: float
    frame_bytes: int


def _read_header(path: Path) -> _Header:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path}: no video stream in the file (audio only?)")
            stream = container.streams.video[0]
            height, width = stream.codec_context.height, stream.codec_context.width
            if not height * width or stream.codec_context.pix_fmt is None:
                raise ValueError(f"{path}: no frame can be decoded: empty or corrupt video stream")
            fps = float(stream.average_rate or stream.guessed_rate or 0)
            return _Header(stream.frames, fps, 3 * height * width)
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: not a readable video file ({error.strerror})") from error


def _open_decord(path: Path, header: _Header) -> _DecordReader | None:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    _collect_before_forks()
    try:
        # One thread: the loader's workers are the parallel part, and small files gain nothing.
        video = decord.VideoReader(str(path), num_threads=1)
    except (decord.DECORDError, RuntimeError):
        return None
    keys = np.asarray(video.get_key_indices())
    packed = len(keys) < len(video) and bool((np.diff(keys) == 1).any())
    if packed or (header.frames and len(video) != header.frames):
        return None
    return _DecordReader(path, video, header)


@cache
def _collect_before_forks() -> None:
    """A worker that inherits a forgotten reader must not destroy it.

    Its threads are not there, and joining them ends the process.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=gc.collect)


class _DecordReader:
    def __init__(self, path: Path, video, header: _Header) -> None:
        self.path, self.video, self.header = path, video, header
        self.num_frames, self.fps = len(video), header.fps
        self.num_bytes = self.num_frames * header.frame_bytes

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        import decord

        wanted, back = _unique(indices, self.num_frames)
        seeks = len(wanted) < self.num_frames
        if seeks and wanted[-1] >= self.num_frames - _UNSAFE_TAIL:
            return _PyAVReader(self.path, self.header).get_frames(indices)
        try:
            batch = self.video.get_batch(wanted)
        except (decord.DECORDError, RuntimeError, IndexError):
            # PyAV gives the frames that can be decoded, or the reason why there are none.
            return _PyAVReader(self.path, self.header).get_frames(indices)
        frames = torch.from_dlpack(batch.to_dlpack())
        return _pick(frames, back).permute(0, 3, 1, 2)


class _PyAVReader:
    def __init__(self, path: Path, header: _Header) -> None:
        self.path, self.fps = path, header.fps
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            packets = container.demux(stream)
            self.num_frames = sum(1 for p in packets if p.size and not p.is_discard)
        if self.num_frames == 0:
            raise ValueError(f"{path}: no frame can be decoded: the video stream is empty")
        if header.frames - self.num_frames > _tail(header.frames):
            raise ValueError(
                f"{path}: truncated: its header declares {header.frames} frames, "
                f"the file holds {self.num_frames}"
            )
        self.num_bytes = self.num_frames * header.frame_bytes
        self._stream: Iterator[av.VideoFrame] | None = None
        self._decoded = 0
        self._last: av.VideoFrame | None = None

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        wanted, back = _unique(indices, self.num_frames)
        frames: list[np.ndarray] = []
        if self._stream is None or wanted[0] < self._decoded:
            self._stream, self._decoded, self._last = self._decode(), 0, None
        # Else it goes on where it is.
        stream, self._stream = self._stream, None  # lost where decoding fails
        try:
            for self._last in stream:
                if self._decoded == wanted[len(frames)]:
                    frames.append(_to_rgb(self._last))
                self._decoded += 1
                if len(frames) == len(wanted):
                    self._stream = stream
                    break
        except av.error.FFmpegError as error:
            raise ValueError(
                f"{self.path}: corrupt: decoding stops after {self._decoded} of {self.num_frames} "
                f"frames ({error.strerror})"
            ) from error
        decoded, last = self._decoded, self._last
        missing = len(wanted) - len(frames)
        if missing:
            if last is None or self.num_frames - decoded > _tail(self.num_frames):
                raise ValueError(
                    f"{self.path}: corrupt: only {decoded} of {self.num_frames} frames decode"
                )
            frames += [_to_rgb(last)] * missing
        return _pick(torch.from_numpy(np.stack(frames)), back).permute(0, 3, 1, 2)

    def _decode(self) -> Iterator[av.VideoFrame]:
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            yield from container.decode(stream)


class DecodedVideo:
    """All frames of a reader, kept in memory; a reader itself."""

    def __init__(self, reader: FrameReader) -> None:
        self.num_frames, self.num_bytes, self.fps = reader.num_frames, reader.num_bytes, reader.fps
        self._frames = reader.get_frames(range(reader.num_frames)).permute(0, 2, 3, 1)

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Copies of the frames, uint8 T C H W."""
        return self._frames[torch.as_tensor(indices)].permute(0, 3, 1, 2)


def _to_rgb(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="rgb24", threads=1)


def _tail(num_frames: int) -> float:
    return max(_TAIL_FRAMES, _TAIL_SHARE * num_frames)


def _unique(indices: Sequence[int] | Tensor, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    wanted, back = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
    if wanted.size == 0 or wanted[0] < 0 or wanted[-1] >= num_frames:
        raise IndexError(f"frame indices {list(indices)} outside 0..{num_frames - 1}")
    return wanted, back


def _pick(frames: Tensor, back: np.ndarray) -> Tensor:
    """frames: T H W C of the distinct indices -> those asked for, in their order."""
    if np.array_equal(back, np.arange(len(frames))):
        return frames
    return frames[torch.from_numpy(back)]
