"""Mended files put in the place of broken ones, which are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from videowino.preparing.verify.mend import MENDABLE, mend
from videowino.preparing.verify.pool import Failure, each
from videowino.preparing.verify.scan import Scan

ORIGINALS = ".originals"  # hidden: no class folder
_NEW = ".new"


@dataclass(frozen=True)
class Fix:
    """What became of a file that is not sound.

    Attributes:
        path: relative to the root.
        kept: where its original is now, relative to the root; "" where nothing was done.
        detail: what was done, or why nothing was.
    """

    path: str
    kept: str
    detail: str


def fixable(scan: Scan) -> str:
    """Why a file cannot be mended; "" if it may be."""
    if scan.kind not in MENDABLE:
        return f"{scan.kind}: cannot be mended; get the file anew, or leave it out"
    return "" if scan.frames else "no frame of it decodes"


def fix_files(
    root: Path, broken: Iterable[tuple[str, Scan]], jobs: int, timeout: float
) -> Iterator[Fix]:
    """Mend what can be; what became of each file, as it comes.

    A mended file is written and checked below `root/.originals`; then the original is moved
    there and the mended one takes its place, so that a file is there at all times, and none of
    the original's bytes is lost.

    Args:
        root: the set's folder.
        broken: files relative to it, with their scans.
        jobs: processes.
        timeout: seconds without progress after which a file is given up.
    """
    to_do = []
    for path, scan in broken:
        reason = fixable(scan)
        if not reason and (root / path).is_symlink():
            reason = f"a link to {os.path.realpath(root / path)}; mend that file"
        if reason:
            yield Fix(path, "", reason)
        else:
            to_do.append(path)
    new = root / ORIGINALS / _NEW
    try:
        for path in to_do:
            (new / path).parent.mkdir(parents=True, exist_ok=True)
        for path, result in each(partial(_mend_beside, str(root)), to_do, jobs, timeout):
            if isinstance(result, Failure):
                yield Fix(path, "", f"{result.kind}: {result.detail}")
            elif isinstance(result, str):
                yield Fix(path, _put(root, path, new / path), result)
            else:
                yield Fix(path, "", result[0])
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if (root / ORIGINALS).is_dir() and not any((root / ORIGINALS).iterdir()):
            (root / ORIGINALS).rmdir()


def _mend_beside(root: str, path: str, alive: Callable[[], None]) -> str | tuple[str]:
    """What was done, or (why it could not be)."""
    try:
        return mend(Path(root, path), Path(root, ORIGINALS, _NEW, path), alive)
    except ValueError as error:
        return (str(error),)


def _put(root: Path, path: str, mended: Path) -> str:
    """Keep the original, then give its name to the mended file; where the original is now."""
    original = root / path
    kept = root / ORIGINALS / path
    number = 1
    while kept.exists():  # of an earlier fix
        kept = (root / ORIGINALS / path).with_name(f"{original.name}.{number}")
        number += 1
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copymode(original, mended)
    _write_out(mended)
    try:
        os.link(original, kept)
    except OSError:  # a file system without hard links
        shutil.copy2(original, kept)
        _write_out(kept)
    os.replace(mended, original)
    return kept.relative_to(root).as_posix()


def _write_out(path: Path) -> None:
    """See the file on the disk before anything is done that counts on it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
