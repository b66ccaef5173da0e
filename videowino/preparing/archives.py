"""Unpack chosen members of a .rar or .zip, one whole file after the other.

Headers are read before anything is written: an archive that is cut off, wants a password, or has a
member that would leave the folder is refused as a whole. A member is written beside its place and
renamed, so a file that is there is whole; its CRC has been compared by then.

.rar is read with `rarfile`, which is pure Python for stored members and has compressed ones
unpacked by unrar, unar or 7-Zip, whichever there is. (libarchive reads .rar by itself, but not its
filters nor solid archives in many of the versions around.)
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

Advance = Callable[[int], None]  # told of bytes that were dealt with
PART = ".part"
_CHUNK = 1 << 20
_TOOLS = "unrar, unar or 7z (Debian: apt install unar; macOS: brew install unar; Windows: 7-Zip)"


class Archive(Protocol):
    """An open archive.

    Attributes:
        path: the file.
        sizes: bytes of each member by its name, folders left out, names with forward slashes.
    """

    path: Path
    sizes: dict[str, int]

    def unpack(self, places: Mapping[str, Path], advance: Advance) -> None:
        """Write the members that `places` names to their places, in the archive's order."""
        ...


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a .rar or .zip, by what is in it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such archive, is truncated or damaged, wants a password, is one volume
            of several, or has a member that is a link or would be written outside the folder; or
            a compressed .rar is met and there is no program to unpack it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such archive")
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"Rar!\x1a\x07"):
        with _rar_errors(path):
            import rarfile

            with rarfile.RarFile(str(path), errors="strict") as rar:
                yield _Rar(path, rar)
    elif start.startswith(b"PK"):
        with _zip_errors(path), zipfile.ZipFile(path) as zipped:
            yield _Zip(path, zipped)
    else:
        what = "empty" if not start else "no .rar and no .zip, whatever its name"
        raise ValueError(f"{path}: {what}; download it again (a web page saved under its name?)")


def write_whole(source: IO[bytes], place: Path, size: int, advance: Advance) -> None:
    """Copy `size` bytes to a file beside `place`, then rename it.

    Raises:
        EOFError: the source ends before.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}{PART}")
    left = size
    with part.open("wb") as file:
        # One more read at the end: that is where readers compare the CRC.
        while chunk := source.read(min(left, _CHUNK) or 1):
            left -= len(chunk)
            if left < 0:
                raise EOFError(f"more than the {size} bytes that its header declares")
            file.write(chunk)
            advance(len(chunk))
    if left:
        raise EOFError(f"{size - left} of {size} bytes")
    os.replace(part, place)


def check_name(path: Path, name: str) -> None:
    """Refuse a member's name that leads out of the folder it is unpacked to.

    Raises:
        ValueError: an absolute name, or one with `..` in it.
    """
    parts = re.split(r"[/\\]", name)
    if not parts[0] or re.match(r"[A-Za-z]:", name) or ".." in parts or "\0" in name:
        raise ValueError(
            f"{path}: the member {name!r} would be written outside the folder; nothing was unpacked"
        )


class _Zip:
    def __init__(self, path: Path, zipped: zipfile.ZipFile) -> None:
        self.path, self._zip = path, zipped
        infos = zipped.infolist()
        for info in infos:
            check_name(path, info.filename)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise ValueError(_link(path, info.filename))
            if info.flag_bits & 1:
                raise ValueError(_password(path))
        self.sizes = {info.filename: info.file_size for info in infos if not info.is_dir()}

    def unpack(self, places: Mapping[str, Path], advance: Advance) -> None:
        with _zip_errors(self.path):
            for name, size in self.sizes.items():
                if name in places:
                    with self._zip.open(name) as source, _named(self.path, name):
                        write_whole(source, places[name], size, advance)


class _Rar:
    def __init__(self, path: Path, rar: Any) -> None:
        self.path, self._rar = path, rar
        if rar.needs_password():
            raise ValueError(_password(path))
        if len(rar.volumelist()) > 1:
            raise ValueError(_volumes(path))
        length = path.stat().st_size
        for info in rar.infolist():
            check_name(path, info.filename)
            if info.is_symlink() or info.file_redir:
                raise ValueError(_link(path, info.filename))
            missing = info.data_offset + info.compress_size - length
            if missing > 0:
                raise ValueError(f"{_truncated(path)}: {missing} bytes of {info.filename} and more")
        self._files = {i.filename: i for i in rar.infolist() if i.is_file()}
        self.sizes = {name: info.file_size for name, info in self._files.items()}

    def unpack(self, places: Mapping[str, Path], advance: Advance) -> None:
        import rarfile

        with _rar_errors(self.path):
            packed = any(self._files[name].compress_type != rarfile.RAR_M0 for name in places)
            if packed and self._rar.is_solid():
                self._unpack_solid(places, advance)
                return
            for name, info in self._files.items():
                if name in places:
                    with self._rar.open(info) as source, _named(self.path, name):
                        write_whole(source, places[name], info.file_size, advance)

    def _unpack_solid(self, places: Mapping[str, Path], advance: Advance) -> None:
        """In one pass: in a solid archive, each member needs all before it unpacked."""
        import rarfile

        command = rarfile.tool_setup().open_cmdline(None, str(self.path))
        last = [name for name in self._files if name in places][-1]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdout is not None
            try:
                for name, info in self._files.items():
                    with _named(self.path, name):
                        source = _Slice(process.stdout, info.file_size, info.CRC)
                        if name in places:
                            write_whole(source, places[name], info.file_size, advance)  # type: ignore[arg-type]
                        while source.read(_CHUNK):
                            pass
                    if name == last:
                        break
            finally:
                process.kill()


class _Slice:
    """The next `size` bytes of a stream as a file that ends there; its CRC is compared."""

    def __init__(self, stream: IO[bytes], size: int, crc: int | None) -> None:
        self._stream, self._left, self._expected, self._crc = stream, size, crc, 0

    def read(self, count: int) -> bytes:
        chunk = self._stream.read(min(count, self._left)) if self._left else b""
        self._left -= len(chunk)
        self._crc = zlib.crc32(chunk, self._crc)
        if not chunk and self._left:
            raise EOFError(f"{self._left} bytes are missing")
        if not self._left and self._expected is not None and self._crc != self._expected:
            raise EOFError("its CRC differs")
        return chunk


@contextmanager
def _named(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise ValueError(f"{path}: damaged: {name}: {error}; download it again{_hint()}") from None


@contextmanager
def _zip_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(f"{path}: truncated or damaged ({error}); download it again") from error


@contextmanager
def _rar_errors(path: Path) -> Iterator[None]:
    try:
        import rarfile
    except ModuleNotFoundError:
        raise ValueError(f"{path}: unpacking .rar needs rarfile: pip install rarfile") from None
    try:
        yield
    except rarfile.RarCannotExec:
        raise ValueError(
            f"{path}: its files are compressed, and no program to unpack them is installed: "
            f"install {_TOOLS}"
        ) from None
    except rarfile.NeedFirstVolume as error:
        raise ValueError(_volumes(path)) from error
    except (rarfile.PasswordRequired, rarfile.RarWrongPassword, rarfile.NoCrypto) as error:
        raise ValueError(_password(path)) from error
    except rarfile.Error as error:
        raise ValueError(
            f"{path}: truncated or damaged ({error}); download it again{_hint()}"
        ) from error


def _hint() -> str:
    """Which program was at work, where it was not unrar, the only one that reads every .rar."""
    setup = getattr(sys.modules.get("rarfile"), "CURRENT_SETUP", None)
    tool = setup.get_cmdline("check_cmd", None)[0] if setup else "unrar"
    return "" if tool == "unrar" else f" ({tool} unpacked it; if it is whole, install unrar)"


def _password(path: Path) -> str:
    return f"{path}: protected by a password; the official archive is not: download it again"


def _volumes(path: Path) -> str:
    return f"{path}: one volume of several; the official archive is a single file"


def _link(path: Path, name: str) -> str:
    return f"{path}: the member {name!r} is a link, not a file; nothing was unpacked"


def _truncated(path: Path) -> str:
    return f"{path}: truncated, download it again; missing"
