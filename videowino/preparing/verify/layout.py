"""What a set's folders hold and what its lists say, read without stopping at mistakes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from videowino.data.hmdb51 import source_of
from videowino.data.splits import VIDEO_SUFFIXES, group_of, read_class_index
from videowino.data.ucf101 import videos_folder
from videowino.preparing.verify.findings import Finding

DATASETS = ("ucf101", "hmdb51", "folder")
_LISTS = ("ucfTrainTestlist", "testTrainMulti_7030_splits", "splits")
_UCF, _HMDB, _OWN = _LISTS
_LINE = re.compile(r"(.*?)(?:\s+(\d+))?")
_PARTS = {"0": "", "1": "train", "2": "test"}  # the marks of HMDB51's lists


@dataclass(frozen=True)
class Entry:
    """A line of a split list.

    Attributes:
        path: what it names, relative to the root.
        list: the list's path, relative to the root.
        line: its number in the list, from 1.
        split: the list's split.
        part: "train", "test", or "" for what is in neither.
        class_name: the folder that it names.
        number: the class number at its end, if there is one.
    """

    path: str
    list: str
    line: int
    split: str
    part: str
    class_name: str
    number: int | None = None


@dataclass
class Layout:
    """A set as it is on disk.

    Attributes:
        dataset: which layout it has.
        root: its folder.
        videos: the folder of the class folders, relative to the root, "." for the root.
        classes: class names in label order; None where nothing lists them.
        folders: class folders that are there, each with how many video files are in it.
        files: video files and what lists name, as far as they are on disk, relative to the root.
        entries: all lines of all lists.
        problems: what reading them already showed.
        group: the source of a file; where it is a guess from names, `groups_guessed`.
    """

    dataset: str
    root: Path
    videos: str
    classes: list[str] | None = None
    folders: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    group: Callable[[Path], str] = group_of
    groups_guessed: bool = False


def detect(root: Path) -> str:
    """Which layout a root has, by the lists in it."""
    if (root / _UCF / "classInd.txt").is_file():
        return "ucf101"
    if any(next((root / name).glob("*_test_split?.txt"), None) for name in (_HMDB, _OWN)):
        return "hmdb51"
    return "folder"


def read_layout(root: Path, dataset: str | None = None) -> Layout:
    """Read a set's folders and lists.

    Args:
        root: the set's folder.
        dataset: one of `DATASETS`; None detects it.

    Raises:
        ValueError: an unknown dataset, no lists where it must have some, or no video at all.
        FileNotFoundError: no such root.
    """
    if dataset not in (None, *DATASETS):
        raise ValueError(f"dataset={dataset!r}: one of {', '.join(DATASETS)}")
    if not root.is_dir():
        raise FileNotFoundError(f"root={str(root)!r}: no such folder")
    dataset = dataset or detect(root)
    archive = {"ucf101": "UCF-101", "hmdb51": "hmdb51"}.get(dataset, "videos")
    layout = Layout(dataset, root, videos_folder(root, archive).relative_to(root).as_posix())
    if dataset == "hmdb51":
        layout.group, layout.groups_guessed = source_of, True
        _read_hmdb51(layout)
    else:
        _read_ucf101(layout, _UCF if dataset == "ucf101" else _OWN)
    _find_files(layout)
    if not layout.files and not layout.entries:
        raise ValueError(
            f"root={str(root)!r}: no video file in {root / layout.videos}, and no split list; "
            "expected is videos/<Class>/<name>.avi, see datasets/folder.md"
        )
    return layout


def _read_ucf101(layout: Layout, folder: str) -> None:
    lists = layout.root / folder
    index = lists / "classInd.txt"
    if index.is_file():
        try:
            layout.classes = read_class_index(index)
        except ValueError as error:
            text = str(error).removeprefix(f"{index}: ")
            layout.problems.append(Finding(f"{folder}/classInd.txt", "bad list", text))
    elif layout.dataset == "ucf101":
        raise ValueError(f"root={str(layout.root)!r}: no {folder}/classInd.txt in it")
    numbers = {
        match[1]
        for path in lists.glob("*list*.txt")
        if (match := re.fullmatch(r"(?:train|test)list(\d+)\.txt", path.name))
    }
    for number in sorted(numbers):
        for part in ("train", "test"):
            name = f"{folder}/{part}list{number}.txt"
            if not (layout.root / name).is_file():
                layout.problems.append(Finding(name, "bad list", "its other half is there alone"))
                continue
            for line, text in _lines(layout, name):
                file, mark = _LINE.fullmatch(text).groups()  # type: ignore[union-attr]
                class_name = file.rpartition("/")[0]
                if not class_name:
                    said = f"line {line}: {text!r} names no file in a class folder"
                    layout.problems.append(Finding(name, "bad list", said))
                    continue
                split = str(int(number))
                label = int(mark) if mark else None
                path = _join(layout.videos, file)
                layout.entries.append(Entry(path, name, line, split, part, class_name, label))


def _read_hmdb51(layout: Layout) -> None:
    folder = next(
        (n for n in (_HMDB, _OWN) if any((layout.root / n).glob("*_test_split?.txt"))), None
    )
    if folder is None:
        raise ValueError(f"root={str(layout.root)!r}: no {_HMDB}/*_test_split1.txt in it")
    classes = set()
    for path in sorted((layout.root / folder).glob("*_test_split?.txt")):
        class_name, _, split = path.stem.rpartition("_test_split")
        classes.add(class_name)
        name = f"{folder}/{path.name}"
        for line, text in _lines(layout, name):
            file, _, mark = text.rpartition(" ")
            if mark not in _PARTS or not file:
                said = f"line {line}: cannot read {text!r}; expected 'name.avi 0|1|2'"
                layout.problems.append(Finding(name, "bad list", said))
                continue
            place = _join(layout.videos, f"{class_name}/{file.strip()}")
            layout.entries.append(Entry(place, name, line, split, _PARTS[mark], class_name))
    layout.classes = sorted(classes)


def _lines(layout: Layout, name: str) -> Iterator[tuple[int, str]]:
    """Lines of a list that hold something, with their numbers."""
    path = layout.root / name
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        said = f"not UTF-8 text (byte {error.start + 1}); save the list as UTF-8"
        layout.problems.append(Finding(name, "bad list", said))
        return
    found = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        layout.problems.append(Finding(name, "bad list", "names nothing"))
    yield from found


def _find_files(layout: Layout) -> None:
    """All video files below the videos folder, and what lists name beside them."""
    top = layout.root / layout.videos
    found = set()
    for entry in sorted(os.listdir(top)):
        if (top / entry).is_dir():
            if entry.startswith(".") or (layout.videos == "." and entry in _LISTS):
                continue
            inside = _videos_below(layout, top / entry)
            own = [
                path
                for path in inside
                if path.count("/") == _join(layout.videos, "").count("/") + 1
            ]
            if inside or entry in (layout.classes or ()) or layout.videos != ".":
                layout.folders[entry] = len(own)
            found.update(inside)
        elif _is_video(entry):
            found.add(_join(layout.videos, entry))
    named = {entry.path for entry in layout.entries}
    found |= {path for path in named - found if os.path.lexists(layout.root / path)}
    layout.files = sorted(found)


def _videos_below(layout: Layout, folder: Path) -> list[str]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(place).relative_to(layout.root).as_posix()
        found += [f"{inside}/{name}" for name in sorted(names) if _is_video(name)]
    return found


def _is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def _join(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"
