"""Re-encode a clip so that any frame is reached fast: small, key frames close together.

A reader that wants 16 frames from the middle decodes from the key frame before. Clips of UCF101
have one every 12 frames or none but the first, HMDB51's have the first alone, in a form (packed
frames) that makes every reader begin at the start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter

from videowino.cli import require
from videowino.preparing.archives import PART

CODECS = {"mpeg4": "mpeg4", "h264": "libx264"}
_QUALITY = {"mpeg4": 3, "h264": 18}
_CONTAINERS = {".avi": "avi", ".mkv": "matroska", ".webm": "matroska"}  # else mp4
_LARGEST_CLOCK = 65535  # ticks a second, of MPEG-4
_JITTER = 0.1  # of a frame's time: what rounding of timestamps may move a frame


@dataclass(frozen=True)
class Encoding:
    """How clips are re-encoded.

    Args:
        short_side: pixels of the shorter side; smaller clips keep their size.
        gop: frames from one key frame to the next.
        codec: "mpeg4" (as the benchmarks' own clips, and the fastest to decode) or "h264".
        quality: quantiser of mpeg4 (1 to 31) or crf of h264 (0 to 51), smaller is better; None
            takes 3 or 18.

    Raises:
        ValueError: an argument out of its range.
    """

    short_side: int = 256
    gop: int = 12
    codec: str = "mpeg4"
    quality: int | None = None

    def __post_init__(self) -> None:
        require(self.short_side >= 16, f"short_side={self.short_side}: at least 16")
        require(1 <= self.gop <= 600, f"gop={self.gop}: from 1 to 600 frames")
        require(self.codec in CODECS, f"codec={self.codec!r}: {' or '.join(CODECS)}")
        low, high = (1, 31) if self.codec == "mpeg4" else (0, 51)
        require(low <= self.level <= high, f"quality={self.quality}: from {low} to {high}")

    @property
    def level(self) -> int:
        """The quality, given or not."""
        return _QUALITY[self.codec] if self.quality is None else self.quality

    @property
    def tag(self) -> str:
        """What a file says that was re-encoded so."""
        return f"videowino {self.codec} q{self.level} short side {self.short_side} gop {self.gop}"

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a re-encoded clip; even where scaled, and always for h264."""
        scale = min(1.0, self.short_side / min(width, height))
        if scale == 1.0 and self.codec == "mpeg4":
            return width, height
        return max(2, 2 * round(scale * width / 2)), max(2, 2 * round(scale * height / 2))


def tag_of(path: Path) -> str | None:
    """The `Encoding.tag` of a file that was re-encoded; None for any other file."""
    try:
        with av.open(str(path)) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
    except (av.error.FFmpegError, OSError):
        return None
    comment = found.get("comment", "")
    return comment if comment.startswith("videowino ") else None


def reencode(source: Path, place: Path, encoding: Encoding) -> int:
    """Write `source` re-encoded to `place`, which may be `source` itself.

    Frames are as many as before and shown at the same times; rotation that the file asks for is
    applied; sound is left out. The result is decoded and compared with the source before it takes
    its place.

    Returns:
        The number of frames.

    Raises:
        ValueError: the source cannot be decoded, or the result is not what it should be.
    """
    part = place.with_name(f".{place.name}{PART}")
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        times = _transcode(source, part, encoding)
        _compare(part, times, encoding)
    except (av.error.FFmpegError, ValueError) as error:
        part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{source}: cannot be re-encoded: {reason}") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    os.replace(part, place)
    return len(times)


def reencode_once(source: Path, place: Path, encoding: Encoding) -> tuple[str, int]:
    """`reencode`, unless that is done.

    Here, and not where a set is re-encoded, because what a process imports for it is light.

    Returns:
        "done" or "before", and the size of the file at `place`.

    Raises:
        ValueError: as `reencode`; or the source is itself re-encoded, in another way.
    """
    tag = tag_of(place) if place.is_file() else None
    if tag == encoding.tag:
        return "before", place.stat().st_size
    if tag is not None and source == place:
        raise ValueError(f"{source}: was re-encoded before, as {tag!r}; its original is gone")
    reencode(source, place, encoding)
    return "done", place.stat().st_size


def upright(stream: Any, encoding: Encoding | None = None) -> Iterator[av.VideoFrame]:
    """Decode a stream, turned as the file asks for and, with an encoding, in its size; yuv420p."""
    graph, form = None, None
    for frame in stream.container.decode(stream):
        turn = round(getattr(frame, "rotation", 0) or 0) % 360
        if form != (frame.width, frame.height, frame.format.name, turn):
            form = (frame.width, frame.height, frame.format.name, turn)
            graph = _graph(frame, stream, turn, encoding)
        assert graph is not None
        graph.push(frame)
        turned = graph.pull()
        assert isinstance(turned, av.VideoFrame)
        turned.pts, turned.time_base = frame.pts, frame.time_base
        yield turned


def _graph(
    frame: av.VideoFrame, stream: Any, turn: int, encoding: Encoding | None
) -> av.filter.Graph:
    graph = av.filter.Graph()
    names: list[tuple[str, str | None]] = []
    # The angle is counter-clockwise, as av_display_rotation_get gives it.
    names += {90: [("transpose", "cclock")], 270: [("transpose", "clock")]}.get(turn, [])
    if turn == 180:
        names += [("hflip", None), ("vflip", None)]
    width, height = frame.width, frame.height
    if turn in (90, 270):
        width, height = height, width
    if encoding is not None:
        names.append(
            ("scale", "{}:{}:flags=bicubic+accurate_rnd".format(*encoding.size(width, height)))
        )
    names.append(("format", "yuv420p"))
    last = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=stream.time_base or Fraction(1, 1000),
    )
    for name, options in [*names, ("buffersink", None)]:
        step = graph.add(name, options)
        last.link_to(step)
        last = step
    graph.configure()
    return graph


def _transcode(source: Path, part: Path, encoding: Encoding) -> list[float]:
    """Write the file; the times of its frames in seconds, from 0."""
    kind = _CONTAINERS.get(source.suffix.lower(), "mp4")
    # .avi has no timestamps: its frames are as even as its rate.
    rate, times = _clock(source, timed=kind != "avi")
    variable = any(abs(time - number / rate) > _JITTER / rate for number, time in enumerate(times))
    ticks = Fraction(1, 60000) if variable else 1 / rate
    with av.open(str(source)) as container, av.open(str(part), "w", format=kind) as out:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        out.metadata["comment"] = encoding.tag
        target: Any = None
        count = 0
        for frame in upright(stream, encoding):
            if target is None:
                target = _target(out, frame, rate, ticks, encoding)
            frame.pts = round(times[count] / ticks) if variable else count
            frame.time_base, frame.pict_type = ticks, av.video.frame.PictureType.NONE
            count += 1
            out.mux(target.encode(frame))
        if target is None:
            raise ValueError("no frame can be decoded")
        out.mux(target.encode(None))
    if times and count != len(times):
        raise ValueError(f"it decodes to {count} frames once and {len(times)} the other time")
    return times if variable else [float(number / rate) for number in range(count)]


def _target(
    out: Any, frame: av.VideoFrame, rate: Fraction, ticks: Fraction, encoding: Encoding
) -> Any:
    target = out.add_stream(CODECS[encoding.codec], rate=rate)
    target.width, target.height, target.pix_fmt = frame.width, frame.height, "yuv420p"
    context = target.codec_context
    context.time_base, context.gop_size, context.max_b_frames = ticks, encoding.gop, 0
    context.thread_count = 1  # clips are the parallel part
    if encoding.codec == "mpeg4":
        context.qmin = context.qmax = encoding.level
        context.options = {"sc_threshold": "1000000000"}
    else:
        # fastdecode leaves out what makes h264 slow to decode: CABAC and the deblocking filter.
        context.options = {
            "crf": str(encoding.level),
            "preset": "fast",
            "tune": "fastdecode",
            "sc_threshold": "0",
        }
    return target


def _clock(path: Path, timed: bool) -> tuple[Fraction, list[float]]:
    """Frame rate and, if asked for, when each frame is shown, in seconds from the first one."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("no video stream in the file")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        times = [frame.time for frame in container.decode(stream)] if timed else []
    rate = 1 / (1 / rate).limit_denominator(_LARGEST_CLOCK)
    first = next(iter(times), None)
    known = [now - first for now in times if now is not None and first is not None]
    rising = all(after > before for before, after in zip(known, known[1:]))
    even = [number / float(rate) for number in range(len(times))]
    return rate, known if len(known) == len(times) and rising else even


def _compare(part: Path, times: list[float], encoding: Encoding) -> None:
    """See that a file holds these frames at these times, and key frames where asked for.

    Raises:
        ValueError: it does not.
    """
    with av.open(str(part)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        keys, found = [], []
        for number, frame in enumerate(container.decode(stream)):
            found.append(frame.time)
            if frame.key_frame:
                keys.append(number)
    if len(found) != len(times):
        raise ValueError(f"{len(found)} frames came out of {len(times)}")
    step = (times[-1] - times[0]) / max(1, len(times) - 1)
    off = max(abs((now - found[0]) - (due - times[0])) for now, due in zip(found, times))
    if off > max(_JITTER * step, 1e-3):
        raise ValueError(f"frames came out {1000 * off:.0f} ms off their time")
    gaps = [after - before for before, after in zip(keys, [*keys[1:], len(found)])]
    if not keys or keys[0] or max(gaps) > encoding.gop:
        raise ValueError(f"key frames came out {max(gaps, default=0)} apart")
