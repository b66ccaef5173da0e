"""Find an archive, or download it, and see that it is the official one."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from rich.progress import Progress

from videowino.preparing.download import Unreachable, download
from videowino.preparing.journal import Journal
from videowino.preparing.official import Benchmark, Source
from videowino.preparing.space import require_space

CHECKSUMS = ("error", "warn")
_CHUNK = 1 << 22


def obtain(
    source: Source,
    benchmark: Benchmark,
    folders: Sequence[Path],
    progress: Progress,
    may_download: bool = True,
) -> Path:
    """The archive's path.

    Args:
        source: which archive.
        benchmark: what it belongs to.
        folders: where to look; the first one is where it is downloaded to.
        progress: bars are added to it.
        may_download: whether to try the network.

    Raises:
        FileNotFoundError: it is in none of the folders and cannot be downloaded; the message says
            where to get it and where to put it.
        ValueError: there is no room for it.
    """
    for folder in folders:
        if (folder / source.file).is_file():
            return folder / source.file
    place = folders[0] / source.file
    why = "downloading is off"
    if may_download:
        if source.size is not None:
            require_space(place.parent, source.size, source.file)
        task = progress.add_task(f"Downloading {source.file}", total=source.size)
        try:
            download(
                source.url,
                place,
                source.size,
                lambda there, total: progress.update(task, completed=there, total=total),
            )
            return place
        except Unreachable as error:
            why = f"{urlsplit(source.url).hostname} cannot be reached: {error}"
            progress.remove_task(task)
    looked = " nor in ".join(dict.fromkeys(map(str, folders)))
    clips = benchmark.clips.file
    too = f", with {clips} unless it is unpacked," if source is benchmark.lists else ""
    raise FileNotFoundError(
        f"{source.file} is not in {looked} ({why}); get it{too} from {benchmark.page} and put it "
        f"into {folders[0]}"
    )


def verify(
    path: Path, source: Source, journal: Journal, progress: Progress, mismatch: str = "error"
) -> str:
    """Compare an archive with its published checksum, or where there is none with its size.

    Args:
        path: the archive.
        source: what is known of it.
        journal: remembers archives that were right.
        progress: a bar is added to it.
        mismatch: "error" or "warn".

    Returns:
        What was compared, to be printed.

    Raises:
        ValueError: it differs, and `mismatch` is "error". A size alone only warns.
    """
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    digest = source.digest
    if digest is None:
        if source.size is None:
            return f"{source.file}: no checksum is published; its contents are compared"
        if status.st_size != source.size:
            _say(
                f"{path} has {status.st_size:,} bytes, the official one {source.size:,}; "
                "no checksum is published: its contents are compared with the lists"
            )
        return (
            f"{source.file}: no checksum is published; size, the CRC of each file, and the lists "
            "are compared"
        )
    said = f"{source.file}: {digest.algorithm} as published by {digest.publisher}"
    if journal.verified.get(source.file) == stamp:
        return said
    task = progress.add_task(f"Checking {source.file}", total=status.st_size)
    found = hashlib.new(digest.algorithm)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
            progress.advance(task, len(chunk))
    progress.remove_task(task)
    if found.hexdigest() != digest.value:
        message = (
            f"{path}: its {digest.algorithm} is {found.hexdigest()}, but {digest.publisher} "
            f"publishes {digest.value}: truncated, damaged or another file"
        )
        if mismatch == "error":
            raise ValueError(f"{message}; download it again, or --checksums warn to go on")
        _say(message)
        return f"{source.file}: {digest.algorithm} differs from the published one"
    journal.verified[source.file] = stamp
    return said


def _say(message: str) -> None:
    warnings.warn(message, stacklevel=3)
