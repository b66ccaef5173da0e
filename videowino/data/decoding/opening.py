"""The reader for a file: PyAV, or what is asked for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import av

from videowino.data.decoding.decord_reader import open_decord
from videowino.data.decoding.even_time import EvenTime, even_order
from videowino.data.decoding.header import Header, read_header
from videowino.data.decoding.matroska import missing_share
from videowino.data.decoding.packets import Packets, read_packets
from videowino.data.decoding.pyav_reader import PyAVReader
from videowino.data.decoding.reader import TAIL_SHARE, FrameReader, tail
from videowino.data.decoding.torchcodec_reader import TorchCodecReader
from videowino.data.decoding.upright import Upright

_NO_PACKETS = Packets(0, [], [])
DECODERS = ("auto", "decord", "pyav", "torchcodec")


def open_video(path: str | Path, decoder: str = "auto") -> FrameReader:
    """Open a video file for reading single frames.

    Frames are as a viewer sees them: turned where the file says so, and at an even rate where it
    shows them for unequal times (`EvenTime`). All decoders give the same.

    Args:
        path: the file.
        decoder: "auto" (PyAV), "decord", "pyav" or "torchcodec".

    Returns:
        A reader with `num_frames`, `fps` and `get_frames(indices)`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty, corrupt, truncated (where its header tells: a stream
            without frame count or size, as live recordings are, ends where it ends) or holds no
            video; or the decoder is unknown, not installed, or cannot be trusted with this file.
    """
    if decoder not in DECODERS:
        raise ValueError(f"data.decoder={decoder!r}: choose one of {', '.join(DECODERS)}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such video file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty (0 bytes)")
    header = read_header(path)
    missing = missing_share(path)
    if missing > TAIL_SHARE:
        raise ValueError(f"{path}: truncated: {missing:.0%} of it are missing at the end")
    packets = _packets(path) if header.timed else None
    reader = _reader(path, decoder, header, packets)
    if header.turns and not isinstance(reader, TorchCodecReader):
        reader = Upright(reader, header.turns)
    if packets is not None and len(packets.times) == reader.num_frames:
        order = even_order(packets.times)
        reader = reader if order is None else EvenTime(reader, order)
    return reader


def _reader(path: Path, decoder: str, header: Header, packets: Packets | None) -> FrameReader:
    if decoder == "torchcodec":
        reader = TorchCodecReader(path, header)
        # Where a file does not tell when frames are shown, it returns neighbours (all of HMDB51).
        if not (packets or _packets(path) or _NO_PACKETS).times:
            raise _untrusted(path, decoder)
        if header.frames - reader.num_frames > tail(header.frames):
            raise ValueError(
                f"{path}: truncated: its header declares {header.frames} frames, "
                f"the file holds {reader.num_frames}"
            )
        return reader
    if decoder == "decord":
        if importlib.util.find_spec("decord") is None:
            raise ValueError(
                "data.decoder='decord': not installed; `pip install decord2`, or use pyav"
            )
        found = open_decord(path, header)
        if found is None:
            raise _untrusted(path, decoder)
        return found
    # PyAV is right on every file, and with key frames to go to the fastest on each size measured
    # (python -m benchmarks.data).
    return PyAVReader(path, header, packets)


def _untrusted(path: Path, decoder: str) -> ValueError:
    return ValueError(
        f"{path}: {decoder} cannot read single frames of it; set data.decoder=auto or pyav"
    )


def _packets(path: Path) -> Packets | None:
    try:
        return read_packets(path)
    except av.error.FFmpegError:
        return None  # readers say what is wrong
