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
    """

    count: int
    times: Sequence[int]
    starts: Sequence[int]

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
        av.error.FFmpegError: it cannot be read.
    """
    times: list[int | None] = []
    starts: list[int] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                times.append(packet.pts)
                if packet.is_keyframe and packet.pts is not None:
                    starts.append(packet.pts)
        # FFmpeg makes up the times of .avi files from the order of packets, which is not that of
        # frames where some are predicted from later ones.
        told = container.format.name != "avi" or not stream.codec_context.has_b_frames
    known = [time for time in times if time is not None]
    if not told or len(known) < len(times) or len(set(known)) < len(known):
        return Packets(len(times), [], [])
    known.sort()
    numbers = [bisect_left(known, start) for start in sorted(starts)]
    return Packets(len(times), array("q", known), array("q", numbers))  # small: they are kept
