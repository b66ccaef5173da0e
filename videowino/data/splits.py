"""Split lists and class lists: what both benchmarks and a folder of one's own share."""

from __future__ import annotations

import os
import random
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

VIDEO_SUFFIXES = frozenset(
    {".avi", ".mp4", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"}
)
_GROUP = re.compile(r"_(g\d+)_c\d+$", re.IGNORECASE)
_NAMED = 3  # absent clips that a message names


@dataclass(frozen=True)
class Video:
    """One labelled file; `group` is what it was cut from and may not cross a split."""

    path: Path
    label: int
    group: str


def read_lines(path: Path) -> list[str]:
    """Lines of a list without line ends, surrounding blanks and empty lines.

    Raises:
        ValueError: the list is not UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 text (byte {error.start + 1}); save the list as UTF-8"
        ) from None
    return [line.strip() for line in lines if line.strip()]


def read_class_index(path: Path) -> list[str]:
    """Class names of a `classInd.txt` (`1 ApplyEyeMakeup`), in the order of their numbers.

    Raises:
        ValueError: a line is not a number and a name, or the numbers are not 1..n.
    """
    names: dict[int, str] = {}
    for line in read_lines(path):
        match = re.fullmatch(r"(\d+)\s+(.+)", line)
        if not match or int(match[1]) in names:
            raise ValueError(f"{path}: cannot read the line {line!r}; expected e.g. '1 Archery'")
        names[int(match[1])] = match[2]
    if not names or sorted(names) != list(range(1, len(names) + 1)):
        raise ValueError(f"{path}: classes must be numbered 1..n without gaps")
    return [names[number] for number in sorted(names)]


def listed_videos(path: Path, folder: Path, class_names: Sequence[str]) -> list[Video]:
    """The videos below `folder` that a trainlist or testlist in UCF101's form names.

    A label is the place of the clip's folder in `class_names`; a number at the end of a line
    (train lists have one, from 1) must agree with it.

    Raises:
        ValueError: a line has no class folder, an unknown one, or a number that disagrees, or its
            name leads out of the folder.
    """
    labels = {name: label for label, name in enumerate(class_names)}
    videos = []
    for line in read_lines(path):
        name, number = re.fullmatch(r"(.*?)(?:\s+(\d+))?", line).groups()  # type: ignore[union-attr]
        class_name = name.rpartition("/")[0]
        if class_name not in labels:
            raise ValueError(f"{path}: {line!r} is in no folder of a known class")
        label = labels[class_name]
        if number is not None and int(number) != label + 1:
            raise ValueError(
                f"{path}: {line!r} has class number {number}, "
                f"the class list gives {class_name} the number {label + 1}"
            )
        video = inside(folder, name, path)
        videos.append(Video(video, label, group_of(video)))
    return videos


def inside(folder: Path, name: str, source: Path) -> Path:
    """The file of that name below a folder.

    Args:
        folder: of the data.
        name: as a list has it.
        source: the list, for the message.

    Raises:
        ValueError: the name leads out of the folder.
    """
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
        raise ValueError(f"{source}: {name!r} leads out of the data's folder; mend the list")
    return folder / name


def group_of(path: Path) -> str:
    """Group of a file named `..._gNN_cMM.ext`; any other name is a group of its own.

    The number alone is the group, whatever the class: that is safe both where groups are counted
    anew in each class and where a number means one source (a speaker, a camera) in all of them.
    """
    match = _GROUP.search(path.stem)
    return match[1].lower() if match else f"{path.parent.name}/{path.name}"


def class_folders(videos: Path, names: Collection[str] | None = None) -> dict[str, list[Path]]:
    """Class folders below `videos` with their video files, both sorted by name.

    Args:
        videos: what holds the class folders.
        names: the classes; None for every folder but `splits` and hidden ones.

    Raises:
        ValueError: a class folder holds no video file.
    """
    found = {}
    for folder in sorted(path for path in videos.iterdir() if path.is_dir()):
        other = folder.name == "splits" or folder.name.startswith(".")
        if other if names is None else folder.name not in names:
            continue
        files = [
            folder / name
            for name in sorted(_files_in(folder))
            if os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES
        ]
        if not files:
            raise ValueError(f"{folder}: the class folder holds no video file; fill or remove it")
        found[folder.name] = files
    return found


def keep_present(videos: Sequence[Video], root: str, missing: str = "warn") -> list[Video]:
    """The videos that are on disk; absent ones are counted, and a few named, in one warning.

    Args:
        videos: clips as listed.
        root: the data set's folder, for the message.
        missing: "warn" or "error".

    Raises:
        ValueError: nothing is listed, or nothing of it is on disk.
        FileNotFoundError: something is absent and `missing` is "error".
    """
    if not videos:
        raise ValueError(f"data.root={root!r}: its split lists are empty")
    present: list[Video] = []
    absent: list[Video] = []
    # One look at each folder, not at each of thousands of files, which may be on another machine.
    names = {folder: _files_in(folder) for folder in {video.path.parent for video in videos}}
    for video in videos:
        # Where names differ in case alone, the file system knows what they are.
        here = video.path.name in names[video.path.parent] or video.path.is_file()
        (present if here else absent).append(video)
    if not absent:
        return present
    some = name_some(absent)
    if not present:
        folder = absent[0].path.parent.parent
        raise ValueError(
            f"data.root={root!r}: none of the {len(absent)} clips that the split lists name is in "
            f"{folder}: {some}"
        )
    message = f"data.root={root!r}: {len(absent)} of {len(videos)} listed clips are not on disk"
    if missing == "error":
        raise FileNotFoundError(f"{message}: {some}; data.missing=warn leaves them out")
    warnings.warn(f"{message} and are left out: {some}", stacklevel=2)
    return present


def _files_in(folder: Path) -> set[str]:
    """Names of the files in a folder, without asking for each; none where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def name_some(videos: Sequence[Video]) -> str:
    """The first few file names, and how many more there are."""
    names = ", ".join(video.path.name for video in videos[:_NAMED])
    return names + (f" and {len(videos) - _NAMED} more" if len(videos) > _NAMED else "")


def carve(videos: Sequence[Video], fraction: float, seed: int) -> tuple[list[Video], list[Video]]:
    """Split whole groups off, about `fraction` of each class: (the rest, the part split off).

    Groups are taken in an order drawn from `seed` whenever that brings the classes' counts closer
    to their share; every class keeps at least one clip in the rest. Nothing is taken where no
    group allows it.
    """
    groups: dict[str, Counter[int]] = defaultdict(Counter)
    for video in videos:
        groups[video.group][video.label] += 1
    left: Counter[int] = Counter(video.label for video in videos)
    due = {label: fraction * count for label, count in left.items()}
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    taken = set()
    for group in order:
        counts = groups[group]
        change = sum((due[label] - n) ** 2 - due[label] ** 2 for label, n in counts.items())
        if change < 0 and all(left[label] > n for label, n in counts.items()):
            taken.add(group)
            for label, n in counts.items():
                due[label] -= n
                left[label] -= n
    rest = [video for video in videos if video.group not in taken]
    return rest, [video for video in videos if video.group in taken]


def smallest_group(videos: Sequence[Video]) -> str | None:
    """The group of the fewest clips without which every class still has one; None if none is."""
    groups = Counter(video.group for video in videos)
    classes = {video.label for video in videos}
    fit = [g for g in groups if {v.label for v in videos if v.group != g} == classes]
    return min(fit, key=lambda group: (groups[group], group), default=None)


def limit(videos: Iterable[Video], per_class: int | None) -> list[Video]:
    """The first `per_class` videos of each class; all of them for None."""
    if per_class is None:
        return list(videos)
    seen: Counter[int] = Counter()
    kept = []
    for video in videos:
        seen[video.label] += 1
        if seen[video.label] <= per_class:
            kept.append(video)
    return kept
