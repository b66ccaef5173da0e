"""The packets of a video stream: how many frames there are, when, and where decoding can begin.

Reading packets is reading the file without decoding it: some milliseconds.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from videowino.data.decoding.remember import remembered


@dataclass(frozen=True)
class Packets:
    """Of the first video stream.

    Attributes:
        count: that hold something to show.
        times: when frames are shown, ascending, one for each; empty where the file does not tell
            (old .avi files with frames out of order).
        starts: the numbers of the key frames, ascending; the first frame is one.
        unit: seconds of a step of the times.
        hidden: packets beside those, of frames that are decoded for others and not shown (before
            the cut of a trimmed phone video).
        leading: whether some frames are stored behind a key frame and shown before it, as in open
            groups of pictures.
    """

    count: int
    times: Sequence[int]
    starts: Sequence[int]
    unit: float = 0.0
    hidden: int = 0
    leading: bool = False

    @property
    def fps(self) -> float:
        """Mean frames a second by the times; 0 where they do not tell."""
        span = (self.times[-1] - self.times[0]) * self.unit if self.times else 0.0
        return (self.count - 1) / span if span else 0.0

    def start_of(self, number: int) -> int:
        """Where decoding can begin for a frame."""
        place = bisect_right(self.starts, number)
        return self.starts[place - 1] if place else 0

    def frames_to_decode(self, wanted: Sequence[int]) -> int:
        """How many frames are decoded for the wanted ones, ascending, going from start to start."""
        total, done = 0, 0
        for number in wanted:
            total += number + 1 - max(done, self.start_of(number))
            done = number + 1
        return total


@remembered
def read_packets(path: Path) -> Packets:
    """Scans a file.

    Raises:
        ValueError: it cannot be read.
    """
    times: list[int | None] = []
    starts: list[int] = []
    hidden, leading = 0, False
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                hidden += packet.is_discard
                if packet.is_discard:
                    continue
                times.append(packet.pts)
                if packet.pts is not None:
                    leading |= bool(starts) and packet.pts < starts[-1]
                    if packet.is_keyframe:
                        starts.append(packet.pts)
            # FFmpeg makes up the times of .avi files from the order of packets, which is not that
            # of frames where some are predicted from later ones.
            told = container.format.name != "avi" or not stream.codec_context.has_b_frames
            unit = float(stream.time_base or 0)
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: not a readable video file ({error.strerror})") from error
    known = [time for time in times if time is not None]
    if not told or len(known) < len(times) or len(set(known)) < len(known):
        return Packets(len(times), [], [], hidden=hidden, leading=leading)
    known.sort()
    numbers = [bisect_left(known, start) for start in sorted(starts)]
    # Small, for they are kept.
    return Packets(len(times), array("q", known), array("q", numbers), unit, hidden, leading)
