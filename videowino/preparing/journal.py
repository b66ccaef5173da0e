"""What has been done in a root, so that the next call need not do or check it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from videowino.files import replacing

_FILE = ".prepare.json"


@dataclass
class Journal:
    """Kept in the root.

    Attributes:
        benchmark: name of the data set.
        complete: all clips have been there, each compared with its archive.
        verified: archives whose checksum was right, with size and time of change.
        unpacked: archives inside the archive that are unpacked, as HMDB51's of a class each.
    """

    benchmark: str
    complete: bool = False
    verified: dict[str, list[int]] = field(default_factory=dict)
    unpacked: list[str] = field(default_factory=list)

    def write(self, root: Path) -> None:
        """Keep it; whole or not at all."""
        with replacing(root / _FILE) as part:
            part.write_text(json.dumps(asdict(self), indent=1) + "\n")


def read_journal(root: Path, benchmark: str) -> Journal:
    """The journal of a root; an empty one where there is none, or none that can be read.

    Raises:
        ValueError: the root holds another data set.
    """
    try:
        journal = Journal(**json.loads((root / _FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return Journal(benchmark)
    if journal.benchmark != benchmark:
        raise ValueError(
            f"root={str(root)!r}: {journal.benchmark} was prepared in it; "
            f"name another folder for {benchmark}"
        )
    return journal
