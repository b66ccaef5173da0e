"""The same content, or the same source, more than once: in a set, and in both lists of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from videowino.preparing.verify.findings import Finding
from videowino.preparing.verify.layout import Layout
from videowino.preparing.verify.scan import Scan

_NAMED = 3


def check_duplicates(layout: Layout, scans: Mapping[str, Scan]) -> list[Finding]:
    """Copies, and content or groups that training and test share.

    Args:
        layout: the set.
        scans: of its files; those that are not there yet are left out.
    """
    copies = _copies(layout, scans)
    return [*_duplicates(copies, scans), *_content(layout, copies, scans), *_groups(layout)]


def _copies(layout: Layout, scans: Mapping[str, Scan]) -> list[list[str]]:
    """Files of one content, where there are several; the one to keep first."""
    found = defaultdict(list)
    for path, scan in scans.items():
        # Frames tell more than bytes, as another container around them does not change them.
        if scan.frames_hash or scan.file_hash:
            found[scan.frames_hash or scan.file_hash].append(path)
    listed = {entry.path for entry in layout.entries}
    groups = [sorted(paths, key=lambda p: (p not in listed, p)) for paths in found.values()]
    return sorted(paths for paths in groups if len(paths) > 1)


def _duplicates(copies: list[list[str]], scans: Mapping[str, Scan]) -> Iterator[Finding]:
    for first, *others in copies:
        for path in others:
            said = f"{_same(path, first, scans)} as {first}"
            if PurePosixPath(path).parent != PurePosixPath(first).parent:
                said += ", which is of another class"
            yield Finding(path, "duplicate", said)


def _content(
    layout: Layout, copies: list[list[str]], scans: Mapping[str, Scan]
) -> Iterator[Finding]:
    """Training files, as leaving those out leaves the test what it is."""
    lists: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in layout.entries:
        lists[entry.split, entry.part].add(entry.path)
    for split in sorted({entry.split for entry in layout.entries}):
        train, test = lists[split, "train"], lists[split, "test"]
        for paths in copies:
            tested = [path for path in paths if path in test]
            for path in paths:
                if path in train and path not in test and tested:
                    said = f"{_same(path, tested[0], scans)} as {tested[0]} of the test list"
                    yield Finding(path, "crossing", said, split)


def _groups(layout: Layout) -> Iterator[Finding]:
    """Groups in both lists of a split.

    Where all groups of the test list are in training, the split was made by something else than
    the group: that may be meant so, and is one warning. So are groups that are guessed from names.
    """
    groups: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    lists: dict[str, str] = {}
    for entry in layout.entries:
        lists.setdefault(entry.split, str(PurePosixPath(entry.list).parent))
        if entry.part == "test":
            lists[entry.split] = entry.list
        if entry.part:
            groups[entry.split, entry.part][layout.group(Path(entry.path))].append(entry.path)
    for split, place in sorted(lists.items()):
        train, test = groups[split, "train"], groups[split, "test"]
        both = sorted(set(train) & set(test))
        # A file in both lists is found as such; a group of its own says nothing more.
        both = [group for group in both if len({*train[group], *test[group]}) > 1]
        if not both:
            continue
        trained = sum(len(train[group]) for group in both)
        tested = sum(len(test[group]) for group in both)
        if len(both) == len(test) or layout.groups_guessed:
            which = "all" if len(both) == len(test) else f"{len(both)} of"
            guessed = ", as far as names tell," if layout.groups_guessed else ""
            said = f"{which} {len(test)} groups{guessed} are in training and test: {_some(both)}"
            yield Finding(
                PurePosixPath(place).parent.as_posix() if layout.groups_guessed else place,
                "group in both",
                f"{said}; {trained} training and {tested} test videos",
                split,
            )
            continue
        for group in both:
            said = f"group {group}: {len(train[group])} training videos, {test[group][0]} in test"
            said += f" and {len(test[group]) - 1} more" if len(test[group]) > 1 else ""
            for path in train[group]:
                yield Finding(path, "crossing group", said, split)


def _same(path: str, other: str, scans: Mapping[str, Scan]) -> str:
    same = scans[path].file_hash == scans[other].file_hash
    return "the same bytes" if same else "the same frames (in a file of other bytes)"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
