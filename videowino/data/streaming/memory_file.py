"""A video that is in memory, for decoders, which take paths."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from videowino.data.decoding import DecoderError, FrameReader, open_video


class MemoryFile:
    """Bytes under a path, for as long as the object lives.

    On Linux nothing touches a disk, and the size of /dev/shm, small in containers, does not matter.
    Elsewhere it is a file in the folder for temporary files.

    Args:
        content: what is in the file.
    """

    def __init__(self, content: bytes) -> None:
        if hasattr(os, "memfd_create"):
            number = os.memfd_create("video")
            # Not /proc/self: a decoder may run in a process of its own.
            self.path = Path(f"/proc/{os.getpid()}/fd/{number}")
            weakref.finalize(self, os.close, number)
        else:
            number, name = tempfile.mkstemp(prefix="videowino-")
            self.path = Path(name)
            weakref.finalize(self, _remove, number, name)
        with os.fdopen(number, "wb", closefd=False) as file:
            file.write(content)


def _remove(number: int, name: str) -> None:
    os.close(number)
    Path(name).unlink(missing_ok=True)


class MemoryVideo:
    """The frames of a video file that is in memory; a `FrameReader`.

    Args:
        content: the file's bytes.
        name: what messages call it.
        decoder: see `open_video`.

    Raises:
        ValueError: it cannot be decoded; the message has the name, here and from `get_frames`.
        DecoderError: not by this decoder.
    """

    def __init__(self, content: bytes, name: str, decoder: str = "auto") -> None:
        self.name, self._file = name, MemoryFile(content)
        try:
            self._reader: FrameReader = open_video(self._file.path, decoder)
        except (ValueError, DecoderError) as error:
            raise self._named(error) from None
        reader = self._reader
        self.num_frames, self.num_bytes, self.fps = reader.num_frames, reader.num_bytes, reader.fps

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Decode frames, as any `FrameReader` does."""
        try:
            return self._reader.get_frames(indices)
        except ValueError as error:
            raise self._named(error) from None

    def _named(self, error: ValueError | DecoderError) -> ValueError | DecoderError:
        text = str(error).removeprefix(f"{self._file.path}: ")
        return type(error)(f"{self.name}: {text.replace(str(self._file.path), self.name)}")
