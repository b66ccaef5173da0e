"""Frames by torchcodec, PyTorch's own decoder, where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from videowino.data.decoding.header import Header
from videowino.data.decoding.reader import DecoderError, arrange, distinct

INSTALL = (
    "`pip install videowino[torchcodec]`, and FFmpeg's shared libraries, which it loads "
    "(on Debian `apt install ffmpeg`)"
)


class TorchCodecReader:
    """See `FrameReader`; frames are upright as they come.

    Raises:
        DecoderError: torchcodec cannot be loaded.
        ValueError: it cannot read the file.
    """

    def __init__(self, path: Path, header: Header) -> None:
        try:
            from torchcodec.decoders import VideoDecoder
        except (ImportError, OSError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise DecoderError(
                f"data.decoder='torchcodec': cannot be loaded ({reason}); install it: {INSTALL}"
            ) from None
        self.path, self.fps = path, header.fps
        try:
            # "exact" scans the packets first: a header's frame count may be wrong.
            self._video = VideoDecoder(
                str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact"
            )
        except (RuntimeError, ValueError) as error:
            raise self._broken(error) from None
        self.num_frames = len(self._video)
        self.num_bytes = self.num_frames * header.frame_bytes

    def get_frames(self, indices: Sequence[int] | Tensor) -> Tensor:
        """uint8 T C H W."""
        wanted, back = distinct(indices, self.num_frames)
        try:
            frames: Tensor = self._video.get_frames_at(wanted.tolist()).data
        except (RuntimeError, IndexError) as error:
            raise self._broken(error) from None
        return arrange(frames.to(torch.uint8), back)

    def _broken(self, error: Exception) -> ValueError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason told"
        return ValueError(f"{self.path}: torchcodec cannot read it: {reason}")
