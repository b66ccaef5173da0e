"""A minimal writer of .rar files (format 4, stored members), for there is no free one.

Blocks are a header of type, flags and size behind the low half of its CRC-32, and for a member its
data; see unrar's technote.txt.
"""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

MARKER = b"Rar!\x1a\x07\x00"
END = b"\xc4\x3d\x7b\x00\x40\x07\x00"
STORED, NORMAL = 0x30, 0x33
_MAIN, _FILE = 0x73, 0x74
_LONG, _PASSWORD, _SOLID_MAIN, _SOLID_FILE = 0x8000, 0x04, 0x08, 0x10
_UNIX, _VERSION, _DATE = 3, 20, 0x41210000
FILE_MODE, LINK_MODE = 0o100644, 0o120777


def _block(kind: int, flags: int, body: bytes) -> bytes:
    rest = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
    return struct.pack("<H", zlib.crc32(rest) & 0xFFFF) + rest


def member(
    name: str,
    data: bytes,
    *,
    mode: int = FILE_MODE,
    method: int = STORED,
    password: bool = False,
    solid: bool = False,
    crc: int | None = None,
) -> bytes:
    """A member's header and data; with another `method`, `data` is not really packed."""
    encoded = name.replace("/", "\\").encode()  # the format's separator, on any system
    body = struct.pack(
        "<IIBIIBBHI",
        len(data),
        len(data),
        _UNIX,
        zlib.crc32(data) if crc is None else crc,
        _DATE,
        _VERSION,
        method,
        len(encoded),
        mode,
    )
    flags = _LONG | (_PASSWORD if password else 0) | (_SOLID_FILE if solid else 0)
    return _block(_FILE, flags, body + encoded) + data


def archive(*members: bytes, solid: bool = False) -> bytes:
    """A whole archive of such members."""
    main = _block(_MAIN, _SOLID_MAIN if solid else 0, b"\0" * 6)
    return MARKER + main + b"".join(members) + END


def stored(files: Mapping[str, bytes]) -> bytes:
    """An archive of files."""
    return archive(*(member(name, data) for name, data in files.items()))


def write_rar(path: Path, files: Mapping[str, bytes]) -> Path:
    """`stored`, to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stored(files))
    return path
