"""Whether lists and folders agree: what is mis-listed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from videowino.preparing.verify.findings import Finding
from videowino.preparing.verify.layout import Entry, Layout


def check_lists(layout: Layout) -> list[Finding]:
    """All that is wrong between a set's lists, class list and folders."""
    return [
        *layout.problems,
        *_missing(layout),
        *_misplaced(layout),
        *_unlisted(layout),
        *_folders(layout),
        *_wrong_class(layout),
        *_twice(layout),
        *_in_both(layout),
    ]


def _missing(layout: Layout) -> Iterator[Finding]:
    there = set(layout.files)
    named = _by_path(entry for entry in layout.entries if entry.path not in there)
    for path, entries in named.items():
        others = len({entry.list for entry in entries}) - 1
        more = f" and {others} more" if others else ""
        yield Finding(path, "missing", f"listed ({_place(entries[0])}{more}), not on disk")


def _misplaced(layout: Layout) -> Iterator[Finding]:
    """Videos where the data modules do not look: they read class folders only."""
    depth = 2 if layout.videos == "." else 3
    listed = {entry.path for entry in layout.entries}
    for path in layout.files:
        parts = path.count("/") + 1
        if parts < depth:
            yield Finding(path, "misplaced", "in no class folder")
        elif parts > depth and path not in listed:
            yield Finding(path, "misplaced", "in a folder inside a class folder")


def _unlisted(layout: Layout) -> Iterator[Finding]:
    if not layout.entries:
        return
    listed = {entry.path for entry in layout.entries}
    depth = 2 if layout.videos == "." else 3
    for path in layout.files:
        known = layout.classes is None or _class_of(path) in layout.classes
        if path not in listed and known and path.count("/") + 1 == depth:
            yield Finding(path, "unlisted", "no split list names it")


def _folders(layout: Layout) -> Iterator[Finding]:
    for name, count in layout.folders.items():
        path = name if layout.videos == "." else f"{layout.videos}/{name}"
        if layout.classes is not None and name not in layout.classes:
            yield Finding(path, "unknown class", f"not in the class list; {count} video files")
        elif not count:
            yield Finding(path, "empty class", "no video file in the class folder")


def _wrong_class(layout: Layout) -> Iterator[Finding]:
    names = layout.classes
    if names is None and layout.entries:
        names = sorted(layout.folders)
    numbers = {name: number for number, name in enumerate(names or (), 1)}
    for entry in layout.entries:
        right = numbers.get(entry.class_name)
        if right is None:
            yield Finding(
                entry.path, "wrong class", f"{_place(entry)}: no class {entry.class_name!r}"
            )
        elif entry.number not in (None, right):
            yield Finding(
                entry.path,
                "wrong class",
                f"{_place(entry)}: class number {entry.number}, {entry.class_name} is {right}",
            )


def _twice(layout: Layout) -> Iterator[Finding]:
    seen: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in layout.entries:
        seen[entry.list, entry.path].append(entry)
    for (name, path), entries in seen.items():
        if len(entries) > 1:
            lines = ", ".join(str(entry.line) for entry in entries)
            yield Finding(path, "listed twice", f"{name}, lines {lines}")


def _in_both(layout: Layout) -> Iterator[Finding]:
    parts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for entry in layout.entries:
        parts[entry.split, entry.path][entry.part] += 1
    for (split, path), count in parts.items():
        if count["train"] and count["test"]:
            yield Finding(path, "crossing", "in the training and in the test list", split)


def _by_path(entries: Iterator[Entry]) -> dict[str, list[Entry]]:
    found = defaultdict(list)
    for entry in entries:
        found[entry.path].append(entry)
    return found


def _class_of(path: str) -> str:
    return PurePosixPath(path).parent.name


def _place(entry: Entry) -> str:
    return f"{entry.list}:{entry.line}"
