"""Files that are whole, or as they were, whenever a process dies or a disk is full."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside a file to write its next version to; at the end it takes the file's name.

    Devices, pipes and links are written to as they are.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    as_it_is = path.is_symlink() or (path.exists() and not path.is_file())
    beside = path if as_it_is else path.with_name(f".{path.name}.new")
    try:
        with writing(path):
            yield beside
            if beside != path:
                os.replace(beside, path)
    except BaseException:
        if beside != path:
            with suppress(OSError):  # of a folder that is none
                beside.unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """Of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Around the writing of a file: errors have its name, which those of a full disk lack.

    Raises:
        OSError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error
