"""Whether a file ends before its container says it does.

AVI (RIFF), MP4 and its relatives (boxes), ASF (.wmv) and Matroska tell their size; others do not.
"""

from __future__ import annotations

import struct
from pathlib import Path

_MATROSKA = b"\x1a\x45\xdf\xa3"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # its object that holds the size
_BOXES = frozenset(
    (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"moof", b"mfra")
    + (b"sidx", b"styp", b"meta", b"udta", b"pdin", b"emsg", b"prft")
)
_OPEN_SIZE = 0xFFFFFF00  # from here on a RIFF size means "not known when it was written"


def is_video_container(start: bytes) -> bool:
    """Whether a file that starts so was once a video, even if nothing can be read from it."""
    return (
        (start[:4] == b"RIFF" and start[8:12] in (b"AVI ", b""))
        or start[4:8] in _BOXES
        or start[:4] == _MATROSKA
        or start[:16] == _ASF
        or start[:4] == b"FLV\x01"
        or start[:4] in (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")  # MPEG
        or (start[:1] == b"G" and start[188:189] == b"G")  # MPEG-TS
    )


def missing_share(path: Path) -> float:
    """The share of the file that its container declares and that is not there.

    Zero where the container does not tell.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4096)
    if start[:4] == b"RIFF":
        return _share(size, _riff_size(start))
    if start[:16] == _ASF:
        return _share(size, _asf_size(start))
    if start[4:8] in _BOXES:
        return _share(size, _boxes_size(path, size))
    if start[:4] != _MATROSKA:
        return 0.0
    # Imported where it is needed: the package around it takes seconds, in each process.
    from videowino.data.decoding import matroska

    return matroska.missing_share(path)


def _share(size: int, declared: int) -> float:
    return max(0.0, 1 - size / declared) if declared else 0.0


def _riff_size(start: bytes) -> int:
    declared = int.from_bytes(start[4:8], "little")
    return 8 + declared if 0 < declared < _OPEN_SIZE else 0


def _asf_size(start: bytes) -> int:
    place = start.find(_ASF_FILE)
    return int.from_bytes(start[place + 40 : place + 48], "little") if place >= 0 else 0


def _boxes_size(path: Path, size: int) -> int:
    """The end of the first box that ends outside the file; 0 where all end inside."""
    place = 0
    with path.open("rb") as file:
        while place + 8 <= size:
            file.seek(place)
            length, name = struct.unpack(">I4s", file.read(8))
            if length == 1:
                length = int.from_bytes(file.read(8), "big")
            if name not in _BOXES or length < 8:  # 0: to the end of the file
                return 0
            place += length
    return place if place > size else 0
