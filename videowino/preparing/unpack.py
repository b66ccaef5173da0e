"""Lists and clips out of their archives, only what is not there yet."""

from __future__ import annotations

import re
import shutil
from pathlib import Path, PurePosixPath

from rich.progress import Progress, TaskID

from videowino.preparing.archives import PART, Archive, open_archive
from videowino.preparing.index import clip_sizes
from videowino.preparing.journal import Journal
from videowino.preparing.layout import (
    clips_folder,
    lists_folder,
    official_clips,
    official_names,
)
from videowino.preparing.official import Benchmark
from videowino.preparing.space import require_space

_INNER = ".unpacking"  # folder for archives that were in the archive
_GROWTH = 1.1  # video does not compress: what an inner archive's files take, over its own size


def unpack_lists(path: Path, root: Path, benchmark: Benchmark, progress: Progress) -> None:
    """Unpack the split lists.

    Raises:
        ValueError: the archive cannot be used, or holds too few lists.
    """
    with open_archive(path) as archive:
        places = {}
        for name in archive.sizes:
            parts = _parts(name)
            if parts[-1].endswith(".txt") and "__MACOSX" not in parts and parts[-1][0] != ".":
                places[name] = lists_folder(root, benchmark) / parts[-1]
        if len(set(places.values())) < benchmark.list_files:
            raise ValueError(
                f"{path}: {len(places)} lists in it, {benchmark.title} has {benchmark.list_files}; "
                "is it the right archive?"
            )
        task = progress.add_task("Unpacking lists", total=sum(archive.sizes[n] for n in places))
        archive.unpack(places, lambda size: progress.advance(task, size))


def unpack_clips(
    path: Path, root: Path, benchmark: Benchmark, journal: Journal, progress: Progress
) -> list[str]:
    """Unpack the clips that the lists name and that are not there in full size.

    A clip that is there with another size, as an interrupted unpacking by hand leaves it, is
    unpacked anew, unless the root was complete once: then only absent ones are unpacked.

    Returns:
        Members that are no clip of the lists, and were left out.

    Raises:
        ValueError: the archive or one inside it cannot be used, or there is no room.
    """
    folder = clips_folder(root, benchmark)
    names = official_names(official_clips(root, benchmark))
    compare = not journal.complete  # complete ones may have been re-encoded since
    with open_archive(path) as archive:
        inner = {name for name in archive.sizes if name.lower().endswith(".rar")}
        others = [name for name in archive.sizes if name not in inner]
        strange = _unpack(
            archive, others, None, names, folder, progress, compare, "Unpacking clips"
        )
        if inner:
            strange += _unpack_inner(archive, root, names, folder, journal, progress)
    for left in folder.glob(f"*/.*{PART}"):
        left.unlink()
    return strange


def _unpack_inner(
    archive: Archive,
    root: Path,
    names: dict[tuple[str, str], PurePosixPath],
    folder: Path,
    journal: Journal,
    progress: Progress,
) -> list[str]:
    """HMDB51: an archive for each class."""
    there = clip_sizes(folder)
    todo = []
    for name in (n for n in archive.sizes if n.lower().endswith(".rar")):
        stem = PurePosixPath(_parts(name)[-1]).stem
        due = [clip for (class_name, _), clip in names.items() if class_name == stem.lower()]
        if name not in journal.unpacked or not all(there.get(clip) for clip in due):
            todo.append(name)
    if not todo:
        return []
    sizes = [archive.sizes[name] for name in todo]
    have = sum(there.values())
    need = max(sizes) + max(0, int(_GROWTH * sum(archive.sizes.values())) - have)
    require_space(root, need, f"unpacking {archive.path.name}")
    task = progress.add_task("Unpacking classes", total=sum(sizes))
    strange = []
    for name in todo:
        part = root / _INNER / _parts(name)[-1]
        archive.unpack({name: part}, lambda size: None)
        with open_archive(part) as opened:
            members = list(opened.sizes)
            compare = not journal.complete
            strange += _unpack(opened, members, part.stem, names, folder, progress, compare)
        part.unlink()
        journal.unpacked = sorted({*journal.unpacked, name})
        journal.write(root)
        progress.advance(task, archive.sizes[name])
    shutil.rmtree(root / _INNER, ignore_errors=True)
    return strange


def _unpack(
    archive: Archive,
    members: list[str],
    class_name: str | None,
    names: dict[tuple[str, str], PurePosixPath],
    folder: Path,
    progress: Progress,
    compare: bool,
    title: str | None = None,
) -> list[str]:
    """Returns members that no list names.

    Args:
        archive: what to unpack.
        members: of it.
        class_name: class of the members that are in no folder.
        names: the official clips.
        folder: of the class folders.
        progress: for a bar, where there is a title.
        compare: unpack anew what is there in another size.
        title: of the bar.
    """
    places, strange = {}, []
    there = clip_sizes(folder)
    for member in members:
        parts = _parts(member)
        parent = (parts[-2] if len(parts) > 1 else class_name or "").lower()
        clip = names.get((parent, parts[-1].lower()))
        if clip is None and class_name:
            clip = names.get((class_name.lower(), parts[-1].lower()))
        if clip is None:
            strange.append(member)
        elif not there.get(clip) or (compare and there[clip] != archive.sizes[member]):
            places[member] = folder / clip
    if not places:
        return strange
    size = sum(archive.sizes[member] for member in places)
    task: TaskID | None = None
    if title:
        require_space(folder, size, f"unpacking {archive.path.name}")
        whole = size + sum(there.values())
        task = progress.add_task(title, total=whole, completed=whole - size)
    archive.unpack(places, lambda n: progress.advance(task, n) if task is not None else None)
    return strange


def _parts(name: str) -> list[str]:
    return re.split(r"[/\\]", name)
