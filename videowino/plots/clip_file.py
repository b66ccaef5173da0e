"""A clip as the network sees it, back in a file to look at."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from torch import Tensor

from videowino.plots.clip_pixels import clip_pixels

_RATE = 8  # frames a second: slow enough to see what moves
_LEAST = 128  # pixels of the shorter side, below which players show a stamp


def write_clip(path: Path, clip: Tensor) -> Path:
    """Encode a normalised clip as H.264 that browsers play, in the grey levels of `clip_pixels`.

    Args:
        path: an .mp4 file.
        clip: C T H W.
    """
    frames = clip_pixels(clip)
    times = max(1, -(-_LEAST // min(frames.shape[-2:])))
    frames = frames.repeat_interleave(times, -1).repeat_interleave(times, -2)
    height, width = (side - side % 2 for side in frames.shape[-2:])  # H.264 wants even sides
    frames = frames[..., :height, :width].permute(1, 2, 3, 0).contiguous()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE, options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _RATE)
        for pixels in frames.numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path
