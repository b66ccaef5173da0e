"""From archives to a root that trains: lists, clips, and a look at what came of it."""

from __future__ import annotations

import warnings
from pathlib import Path

from rich.progress import Progress

from videowino.preparing.index import Index, check_index, count_splits
from videowino.preparing.journal import read_journal
from videowino.preparing.layout import has_lists
from videowino.preparing.obtain import obtain, verify
from videowino.preparing.official import Benchmark
from videowino.preparing.unpack import unpack_clips, unpack_lists

_NAMED = 5


def prepare(
    benchmark: Benchmark,
    root: Path,
    progress: Progress,
    *,
    archives: Path | None = None,
    may_download: bool = True,
    checksums: str = "error",
) -> tuple[Index, list[str]]:
    """Make `root` what the data module reads; go on where a former call stopped.

    Args:
        benchmark: UCF101 or HMDB51.
        root: the folder to fill.
        progress: bars are added to it.
        archives: where the archives are, besides the root; downloads go there.
        may_download: whether an absent archive is downloaded.
        checksums: what an archive is that differs from its published checksum: "error" or "warn".

    Returns:
        What is in the root now, and what was done, a line each. No line: it was complete before.

    Raises:
        FileNotFoundError: an archive is absent and cannot be downloaded, or no such folder.
        ValueError: an archive cannot be used, or there is no room.
    """
    if archives is not None and not archives.is_dir():
        raise FileNotFoundError(f"archives={str(archives)!r}: no such folder")
    root.mkdir(parents=True, exist_ok=True)
    journal = read_journal(root, benchmark.name)
    folders = [root] if archives is None else [archives, root]
    done: list[str] = []

    def take(source) -> Path:
        path = obtain(source, benchmark, folders, progress, may_download)
        done.append(verify(path, source, journal, progress, checksums))
        journal.write(root)
        return path

    if not has_lists(root, benchmark):
        unpack_lists(take(benchmark.lists), root, benchmark, progress)
        done.append(f"{benchmark.lists_folder}: {benchmark.list_files} lists")
    index = check_index(root, benchmark)
    here = any((folder / benchmark.clips.file).is_file() for folder in folders)
    if not (index.whole and (journal.complete or not here)):
        before = len(index.listed) - len(index.missing)
        strange = unpack_clips(take(benchmark.clips), root, benchmark, journal, progress)
        if strange:
            some = ", ".join(strange[:_NAMED]) + (" ..." if len(strange) > _NAMED else "")
            warnings.warn(
                f"{benchmark.clips.file}: {len(strange)} files are in no list, and were left out: "
                f"{some}",
                stacklevel=2,
            )
        index = check_index(root, benchmark)
        came = len(index.listed) - len(index.missing) - before
        done.append(f"{came:,} clips unpacked, {before:,} were there")
    elif not journal.complete:
        done.append(
            f"all clips are there; without {benchmark.clips.file} their sizes cannot be compared"
        )
    if index.whole and here and not journal.complete:
        journal.complete = True
        journal.write(root)
    count_splits(index)
    return index, done
