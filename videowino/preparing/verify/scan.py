"""One file, decoded from its first frame to its last."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.logging
import numpy as np

from videowino.preparing.verify.ending import is_video_container, missing_share

# Files end up to a few frames before or after what their header says; all decoders play them.
TAIL_FRAMES = 3
TAIL_SHARE = 0.05

_CHUNK = 1 << 20
_LARGE = 3840  # pixels of the longer side, from which a frame is worth a note
_JITTER = 0.1  # share of the usual distance by which frames' times may differ at a constant rate
_ODD = " \t\n\r'\"`$\\"

_PLAYLISTS = ("concat", "hls", "dash", "imf", "sdp")

_FILE_TYPES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


@dataclass
class Scan:
    """What decoding a file showed; plain values, to be kept as JSON.

    Attributes:
        kind: "" for a sound file, else a name of `findings.KINDS`.
        detail: what was seen, for people.
        frames: frames that decode.
        claimed: frames that the header declares; 0 where it does not say.
        damaged: decoded frames that the decoder calls damaged.
        width: of a frame as stored, in pixels; 0 without frames.
        height: as `width`.
        notes: what is fine but worth knowing: a name and a value, as ("grey", "").
        file_hash: of the bytes; "" for an empty or unreadable file.
        frames_hash: of the decoded frames and how they are to be turned; "" without frames.
    """

    kind: str = ""
    detail: str = ""
    frames: int = 0
    claimed: int = 0
    damaged: int = 0
    width: int = 0
    height: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)
    file_hash: str = ""
    frames_hash: str = ""


def scan_file(path: str | Path, alive: Callable[[], None] = lambda: None) -> Scan:
    """Read and decode a file completely.

    Args:
        path: anything with a name; a file that cannot be used is a result, not an error.
        alive: called whenever there is progress, so that a hang can be told from a long video.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return Scan("not a video", _FILE_TYPES.get(stat.S_IFMT(mode), "no ordinary file"))
        if path.stat().st_size == 0:
            return Scan("empty", "0 bytes")
        file_hash, start = _read(path, alive)
        missing = missing_share(path)
    except FileNotFoundError:
        return Scan("corrupt", "a link to nothing" if path.is_symlink() else "no such file")
    except OSError as error:
        return Scan("corrupt", f"cannot be read: {error.strerror}")
    scan = _decode(path, start, missing, alive)
    scan.file_hash = file_hash
    if any(character in _ODD or not 32 < ord(character) < 127 for character in path.name):
        scan.notes.append(("odd name", ""))
    return scan


def tail(frames: int) -> float:
    """Frames at the end by which a header may be off."""
    return max(TAIL_FRAMES, TAIL_SHARE * frames)


def _read(path: Path, alive: Callable[[], None]) -> tuple[str, bytes]:
    """The hash of all bytes, and the first of them."""
    found = hashlib.blake2b(digest_size=16)
    start = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            start = start or chunk
            found.update(chunk)
            alive()
    return found.hexdigest(), start


def _decode(path: Path, start: bytes, missing: float, alive: Callable[[], None]) -> Scan:
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # or what is left to say of one file comes with the next
    with av.logging.Capture() as logs:
        try:
            # Absolute, and named a file: FFmpeg takes "concat:a" for a protocol. A playlist in
            # the place of a video must not make it open others.
            container = av.open(
                f"file:{os.path.abspath(path)}", options={"protocol_whitelist": "file"}
            )
        except (av.error.FFmpegError, OSError) as error:
            return _unopened(start, missing, logs[-1][2].strip() if logs else str(error.strerror))
        with container:
            if _no_video(container):
                return Scan("not a video", _no_video(container))
            film = _Film(container)
            try:
                for packet in container.demux(film.stream):
                    film.take(packet)
                    film.hear(logs)
                    alive()
            except av.error.FFmpegError as error:  # no further packet can be read
                film.broken, film.reason = True, film.reason or str(error.strerror)
    return _judge(film, missing)


def _unopened(start: bytes, missing: float, reason: str) -> Scan:
    if not is_video_container(start):
        return Scan("not a video", _content(start))
    if missing:
        return Scan("truncated", f"{missing:.0%} of the file are missing; does not open ({reason})")
    return Scan("corrupt", f"does not open ({reason})")


def _content(start: bytes) -> str:
    """What a file that is no video holds."""
    if not start.strip(b"\x00"):
        return "nothing but zero bytes"
    head = start[:256]
    text = head.decode("utf-8", errors="ignore")
    if len(text.encode()) >= len(head) - 3 and all(c.isprintable() or c.isspace() for c in text):
        words = " ".join(text.split())
        return f"text: {words[:40]!r}" + ("..." if len(words) > 40 else "")
    return f"unknown content, it starts with the bytes {start[:8].hex(' ')}"


def _no_video(container: av.container.InputContainer) -> str:
    """Why there is no video in what FFmpeg opened; "" where there is."""
    name = container.format.name
    if name.endswith("_pipe") or name == "image2":
        return f"a picture ({name.removesuffix('_pipe')})"
    if name.partition(",")[0] in _PLAYLISTS:
        return f"a list of other files ({name})"
    if not container.streams.video:
        return "no video stream in it (audio only?)"
    return ""


class _Film:
    """The frames of an open container, counted, hashed and looked at."""

    def __init__(self, container: av.container.InputContainer) -> None:
        self.stream = container.streams.video[0]
        self.stream.codec_context.thread_count = 1  # files are the parallel part
        self.format = container.format.name
        self.claimed = self.stream.frames
        rate = float(self.stream.average_rate or 0)
        self.expected = self.claimed or round((container.duration or 0) / av.time_base * rate)
        self.frames = self.damaged = self.packets = 0
        self.failed_at: int | None = None  # frames decoded when a packet first failed
        self.reason = self.complaint = ""
        self.broken = False  # the container, not what is in it
        self.cut = False  # the last packet is incomplete
        self.size = (0, 0)
        self.rotation, self.pixels = 0, ""
        self.steps: Counter[int] = Counter()
        self._time: int | None = None
        self._hash = hashlib.blake2b(digest_size=16)

    def hear(self, logs: list[tuple[int, str, str]]) -> None:
        """Take FFmpeg's complaints, the first of which is the reason of what went wrong."""
        for _, name, text in logs:
            self.complaint = self.complaint or text.strip()
            self.broken = self.broken or name == self.format
        logs.clear()

    def take(self, packet: av.Packet) -> None:
        if packet.size:
            self.packets += 1
            self.cut = packet.is_corrupt
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            if self.failed_at is None:
                self.failed_at, self.reason = self.frames, str(error.strerror)
            return
        for frame in frames:
            self._look(frame)

    def _look(self, frame: av.VideoFrame) -> None:
        self.frames += 1
        self.damaged += frame.is_corrupt
        if self.frames == 1:
            self.size = (frame.width, frame.height)
            self.rotation, self.pixels = frame.rotation % 360, frame.format.name
            self._hash.update(f"{self.rotation}".encode())
        if frame.pts is not None:
            if self._time is not None and frame.pts > self._time:
                self.steps[frame.pts - self._time] += 1
            self._time = frame.pts
        self._hash.update(f"{frame.width}x{frame.height}".encode())
        for pixels in _pixels(frame):
            self._hash.update(pixels.data)

    def frames_hash(self) -> str:
        return self._hash.hexdigest() if self.frames else ""

    def notes(self) -> list[tuple[str, str]]:
        found = []
        if self.pixels.startswith("gray"):
            found.append(("grey", ""))
        if self.rotation:
            found.append(("rotated", f"{self.rotation} degrees"))
        if max(self.size) >= _LARGE:
            found.append(("large", f"{self.size[0]}x{self.size[1]}"))
        if self.steps and self.format != "avi":  # which has no times, only a rate
            usual = self.steps.most_common(1)[0][0]
            # One tick of the clock is rounding.
            if max(self.steps) - min(self.steps) > max(2, _JITTER * usual):
                found.append(("variable rate", ""))
        if self.claimed and self.claimed != self.frames:
            off = f"{self.claimed} claimed, {self.frames} decode"
            found.append(("header a few frames off", off))
        return found


def _pixels(frame: av.VideoFrame) -> Iterator[np.ndarray]:
    """The values of a frame, without what fills its lines up."""
    components = frame.format.components
    if len(components) != len(frame.planes):  # packed, as rgb24: few videos are
        yield np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
        return
    for plane, component in zip(frame.planes, components):
        rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * plane.height]
        rows = rows.reshape(plane.height, plane.line_size)
        yield np.ascontiguousarray(rows[:, : plane.width * -(-component.bits // 8)])


def _judge(film: _Film, missing: float) -> Scan:
    scan = Scan(
        frames=film.frames,
        claimed=film.claimed,
        damaged=film.damaged,
        width=film.size[0],
        height=film.size[1],
        frames_hash=film.frames_hash(),
    )
    reason = film.complaint or film.reason
    why = f" ({reason})" if reason else ""
    expected = film.expected or film.packets
    lost = expected - film.frames
    of = f"{film.frames} of {expected} frames decode"
    if film.frames == 0:
        kind = "truncated" if missing else "corrupt"
        scan.kind, scan.detail = kind, f"no frame decodes{why}"
    elif lost > tail(expected) and (missing or film.cut):
        gone = f"{missing:.0%} of the file are missing" if missing else "ends within a frame"
        scan.kind, scan.detail = "truncated", f"{gone}: {of}"
    elif missing > TAIL_SHARE and not film.claimed:
        scan.kind, scan.detail = "truncated", f"{missing:.0%} of the file are missing: {of}"
    elif film.failed_at is not None and film.failed_at < expected - tail(expected):
        scan.kind, scan.detail = (
            "corrupt",
            f"decoding stops at frame {film.failed_at + 1}{why}: {of}",
        )
    elif lost > tail(expected) and (film.damaged or film.broken):
        scan.kind, scan.detail = "corrupt", f"{of}{why}"
    elif film.claimed and abs(lost) > tail(min(film.claimed, film.frames)):
        claim = f"its header claims {film.claimed} frames, {film.frames} decode"
        scan.kind, scan.detail = "wrong header", claim
    elif film.damaged:
        scan.kind = "damaged"
        scan.detail = f"{film.damaged} of {film.frames} frames decode with errors{why}"
    elif film.cut and not film.claimed:
        said = (
            f"ends within a frame; {film.frames} frames decode, nothing tells how many there were"
        )
        scan.kind, scan.detail = "damaged", said
    elif film.broken:
        scan.kind, scan.detail = "damaged", f"errors between the {film.frames} frames{why}"
    scan.notes = film.notes()
    if scan.kind:
        scan.notes = [note for note in scan.notes if note[0] != "header a few frames off"]
    return scan
