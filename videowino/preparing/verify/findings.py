"""What verify can find, and what follows from each kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        name: as the table and the CSV say it.
        exclude: whether its rows say "yes" at first: for files that no clip can be read from.
        warning: what may be meant so; it leaves the exit code alone.
    """

    name: str
    exclude: bool = False
    warning: bool = False


_ALL = [
    # A file by itself.
    Kind("empty", exclude=True),
    Kind("not a video", exclude=True),
    Kind("corrupt", exclude=True),
    Kind("truncated", exclude=True),
    Kind("timeout", exclude=True),
    Kind("crash", exclude=True),
    Kind("damaged"),
    Kind("wrong header"),
    Kind("short"),
    # Files and lists: mis-listed.
    Kind("missing"),
    Kind("unlisted"),
    Kind("misplaced"),
    Kind("unknown class"),
    Kind("empty class"),
    Kind("wrong class"),
    Kind("listed twice"),
    Kind("bad list"),
    # Files among each other.
    Kind("duplicate"),
    Kind("crossing"),
    Kind("crossing group"),
    Kind("group in both", warning=True),
]
KINDS = {kind.name: kind for kind in _ALL}  # in the order of tables


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        path: the file, folder or list, relative to the set's root, with "/".
        kind: a name of `KINDS`.
        detail: what was seen, for people.
        split: the split that it concerns; "" where it concerns all.
    """

    path: str
    kind: str
    detail: str
    split: str = ""

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind


def in_order(findings: list[Finding]) -> list[Finding]:
    """By kind, then path, then split; each once."""
    ranks = {name: rank for rank, name in enumerate(KINDS)}
    return sorted(set(findings), key=lambda f: (ranks[f.kind], f.path, f.split, f.detail))
