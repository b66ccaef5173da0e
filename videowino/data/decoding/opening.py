"""The reader for a file: PyAV, or what is asked for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from videowino.data.decoding.decord_reader import open_decord
from videowino.data.decoding.even_time import EvenTime, even_order
from videowino.data.decoding.header import Header, read_header
from videowino.data.decoding.matroska import missing_share
from videowino.data.decoding.packets import Packets, read_packets
from videowino.data.decoding.pyav_reader import PyAVReader
from videowino.data.decoding.reader import TAIL_SHARE, DecoderError, FrameReader, check_whole
from videowino.data.decoding.torchcodec_reader import TorchCodecReader
from videowino.data.decoding.upright import Upright

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
            video; or the decoder is unknown.
        DecoderError: the decoder is not installed, or is not for this file, which others read.
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
    packets = read_packets(path)
    if packets.count == 0:
        raise ValueError(f"{path}: no frame can be decoded: the video stream is empty")
    check_whole(path, header.frames, packets.count + packets.hidden)
    reader = _reader(path, decoder, header, packets)
    if not header.upright and not isinstance(reader, TorchCodecReader):
        reader = Upright(reader, header.mirrored, header.turns)
    if header.timed and len(packets.times) == reader.num_frames:
        order = even_order(packets.times)
        reader = reader if order is None else EvenTime(reader, order, packets.fps)
    return reader


def _reader(path: Path, decoder: str, header: Header, packets: Packets) -> FrameReader:
    if decoder == "torchcodec":
        # Where a file does not tell when frames are shown (all of HMDB51), or hides some before a
        # cut, it returns neighbours; it turns frames, and does not mirror them.
        if not packets.times or packets.hidden or header.mirrored or not header.indexed:
            raise _not_for(path, decoder, header, packets)
        try:
            reader = TorchCodecReader(path, header)
        except ValueError:
            raise _not_for(path, decoder, header, packets) from None
        if reader.num_frames != packets.count:
            raise _not_for(path, decoder, header, packets)
        return reader
    if decoder == "decord":
        if importlib.util.find_spec("decord") is None:
            raise DecoderError(
                "data.decoder='decord': not installed; `pip install decord2`, or use pyav"
            )
        found = open_decord(path, header, packets)
        if found is None:
            raise _not_for(path, decoder, header, packets)
        return found
    # PyAV is right on every file, and with key frames to go to the fastest on each size measured
    # (python -m benchmarks.data).
    return PyAVReader(path, header, packets)


def _not_for(path: Path, decoder: str, header: Header, packets: Packets) -> DecoderError:
    """What to raise, unless it is the file that is broken."""
    PyAVReader(path, header, packets).get_frames([0])
    return DecoderError(
        f"{path}: {decoder} cannot read single frames of it; set data.decoder=auto or pyav"
    )
