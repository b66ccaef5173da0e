"""Write a truncated file, or one with a wrong header, anew: what decodes is kept.

Its frames are copied as they are coded, into a new container; where that does not give a sound
file they are encoded again. Only a file that then scans without a finding, with the same frames,
is a mended one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np

from videowino.preparing.verify.scan import Scan, scan_file

MENDABLE = ("truncated", "wrong header")

_FORMATS = {".mkv": "matroska", ".m4v": "mp4", ".mpg": "mpeg", ".mpeg": "mpeg", ".wmv": "asf"}
# Encoders of the codecs that files of a suffix usually hold, and what makes them nearly lossless.
_ENCODERS = {
    ".avi": ("mpeg4", {"qmin": "2", "qmax": "3"}),
    ".mpg": ("mpeg2video", {"qmin": "2", "qmax": "3"}),
    ".mpeg": ("mpeg2video", {"qmin": "2", "qmax": "3"}),
    ".wmv": ("wmv2", {"qmin": "2", "qmax": "3"}),
    ".webm": ("libvpx-vp9", {"crf": "15", "b": "0"}),
}
_USUAL = ("libx264", {"crf": "14"})
_NEAR = 6.0  # grey levels, mean difference of an encoded frame from its source


def mend(source: Path, target: Path, alive: Callable[[], None] = lambda: None) -> str:
    """Write a sound version of `source` to `target`.

    Args:
        source: a file whose scan says one of `MENDABLE`.
        target: where to; a file with the same suffix.
        alive: as for `scan_file`.

    Returns:
        What was done, for people.

    Raises:
        ValueError: it cannot be mended; nothing is left at `target`.
    """
    before = scan_file(source, alive)
    reasons = []
    for how, write in (("frames copied", _copy), ("frames encoded again", _encode)):
        try:
            with av.logging.Capture():  # `scan_file` says it better
                write(source, target, alive)
            after = scan_file(target, alive)
            wrong = _difference(before, after)
            if not wrong and write is _encode:
                wrong = _seen_difference(source, target, alive)
        except (av.error.FFmpegError, ValueError) as error:
            wrong = str(getattr(error, "strerror", None) or error)
        if not wrong:
            return f"{after.frames} frames, {how}"
        reasons.append(f"{how}: {wrong}")
        target.unlink(missing_ok=True)
    raise ValueError("; ".join(reasons))


def _difference(before: Scan, after: Scan) -> str:
    """Why the file written is not the mended one; "" if it is."""
    if after.kind:
        return f"the result is {after.kind} ({after.detail})"
    sound = before.frames - before.damaged
    if not sound <= after.frames <= before.frames:
        return f"{after.frames} frames in the result, {before.frames} in the file"
    if (before.width, before.height) != (after.width, after.height):
        return "another frame size"
    for note in ("rotated", "variable rate"):
        if dict(before.notes).get(note) != dict(after.notes).get(note):
            return f"{note}: not as before"
    return ""


def _copy(source: Path, target: Path, alive: Callable[[], None]) -> None:
    """The same packets in a new container, up to the first that is incomplete."""
    with _open(source) as container, _create(target) as out:
        stream = container.streams.video[0]
        copied: Any = out.add_stream_from_template(stream)
        for packet in container.demux(stream):
            alive()
            if not packet.size:
                continue
            if packet.is_corrupt:
                break
            packet.stream = copied
            out.mux(packet)


def _encode(source: Path, target: Path, alive: Callable[[], None]) -> None:
    """The frames that decode without errors, at the file's rate."""
    encoder, options = _ENCODERS.get(target.suffix.lower(), _USUAL)
    with _create(target) as out:
        stream: Any = None
        for number, (frame, rate) in enumerate(_sound_frames(source, alive)):
            if stream is None:
                stream = out.add_stream(encoder, rate=rate, options=options)
                stream.width, stream.height = frame.width, frame.height
                stream.pix_fmt = "yuv420p"
                stream.time_base = 1 / rate
            coded = frame.reformat(format="yuv420p")
            coded.pts, coded.time_base = number, 1 / rate
            out.mux(stream.encode(coded))
        if stream is None:
            raise ValueError("no frame decodes")
        out.mux(stream.encode(None))


def _sound_frames(
    path: Path, alive: Callable[[], None]
) -> Iterator[tuple[av.VideoFrame, Fraction]]:
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        for packet in container.demux(stream):
            alive()
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            yield from ((frame, rate) for frame in frames if not frame.is_corrupt)


def _seen_difference(source: Path, target: Path, alive: Callable[[], None]) -> str:
    pairs = zip(_sound_frames(source, alive), _sound_frames(target, alive), strict=True)
    for number, ((old, _), (new, _)) in enumerate(pairs, 1):
        grey = [f.to_ndarray(format="gray").astype(np.int16) for f in (old, new)]
        if np.abs(grey[0] - grey[1]).mean() > _NEAR:
            return f"frame {number} looks different"
    return ""


def _open(path: Path) -> Any:
    return av.open(f"file:{os.path.abspath(path)}", options={"protocol_whitelist": "file"})


def _create(path: Path) -> Any:
    suffix = path.suffix.lower()
    return av.open(
        f"file:{os.path.abspath(path)}", "w", format=_FORMATS.get(suffix, suffix.lstrip("."))
    )
