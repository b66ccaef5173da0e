"""Whether a Matroska file (.mkv, .webm) ends too early; its header declares no frame count.

The file is an EBML header and a Segment, each as id, size and content; sizes are numbers of one to
eight bytes whose leading zero bits tell how many (RFC 8794).
"""

from __future__ import annotations

from pathlib import Path

_HEADER, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ENOUGH = 4096  # bytes that hold the header and the Segment's size


def missing_share(path: Path) -> float:
    """The share of the Segment that the file should hold and does not.

    Zero for other containers, and where the writer left the size open (live recordings): there
    nothing tells.
    """
    with path.open("rb") as file:
        start = file.read(_ENOUGH)
    if not start.startswith(_HEADER):
        return 0.0
    header, place = _size(start, len(_HEADER))
    if header is None or start[place + header : place + header + len(_SEGMENT)] != _SEGMENT:
        return 0.0
    segment, place = _size(start, place + header + len(_SEGMENT))
    if not segment:
        return 0.0
    return max(0.0, 1 - (path.stat().st_size - place) / segment)


def _size(data: bytes, place: int) -> tuple[int | None, int]:
    """The size at a place, None where it is open or cut off, and the place after it."""
    length = 9 - data[place].bit_length() if place < len(data) else 9
    number = data[place : place + length]
    if length > 8 or len(number) < length:
        return None, place
    bits = int.from_bytes(number, "big") & ((1 << 7 * length) - 1)
    return (None if bits == (1 << 7 * length) - 1 else bits), place + length
