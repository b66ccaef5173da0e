"""`index.json`: what a folder of shards holds, clip by clip.

It is written last, so shards without one are unfinished. A clip's bytes in its shard (a stretch of
whole tar members) are listed with their checksum: so any clip can be read by itself, an epoch can
be planned without reading a shard, and what was altered is noticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videowino.data.splits import Video

INDEX = "index.json"
FORMAT, VERSION = "videowino shards", 1
PARTS = ("train", "test")
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.tar")


class ShardError(RuntimeError):
    """A shard is absent, altered or cannot be reached; taking another clip puts nothing right.

    Hence no `ValueError`, which of a clip means that another can take its place.
    """


@dataclass(frozen=True)
class ShardClip(Video):
    """A clip in a shard; `path` is its name in the data set's list.

    Attributes:
        number: its place in the data set's list of the part.
        shard: file name of the shard.
        key: WebDataset's key, unique in the part.
        start: first byte of the clip's tar members in the shard.
        size: bytes of them, headers and padding included.
        crc: CRC-32 of these bytes.
    """

    number: int
    shard: str
    key: str
    start: int
    size: int
    crc: int

    def __str__(self) -> str:
        return f"{self.shard}: {self.key}"


@dataclass(frozen=True)
class Shard:
    """A shard file.

    Attributes:
        name: the file's.
        clips: how many it holds.
        bytes: its size.
        sha256: of the whole file, in hexadecimal.
    """

    name: str
    clips: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardIndex:
    """All shards of one split.

    Attributes:
        source: data set, split and options that the shards were made with.
        class_names: in label order.
        shards: of each part, "train" and "test".
        clips: of each part, in the order of the shards and of their bytes.
    """

    source: dict[str, Any]
    class_names: list[str]
    shards: dict[str, list[Shard]]
    clips: dict[str, list[ShardClip]]

    def shard(self, name: str) -> Shard:
        """The shard of a name."""
        return next(s for part in PARTS for s in self.shards[part] if s.name == name)

    def dumps(self) -> str:
        """As JSON, figures first, then a line a clip."""
        parts = {
            part: {
                "clips": len(self.clips[part]),
                "bytes": sum(shard.bytes for shard in self.shards[part]),
                "shards": [asdict(shard) for shard in self.shards[part]],
            }
            for part in PARTS
        }
        head = {
            "format": FORMAT,
            "version": VERSION,
            "source": self.source,
            "class_names": self.class_names,
            "parts": parts,
        }
        # Columns: shard, key, start, size, crc, number, label, group, name.
        lines = {part: ",\n".join(_rows(self.clips[part])) for part in PARTS}
        clips = ",\n".join(f'"{part}": [\n{lines[part]}\n]' for part in PARTS)
        return json.dumps(head, indent=1)[:-2] + f',\n "clips": {{\n{clips}\n}}\n}}\n'

    @classmethod
    def loads(cls, text: str, place: str) -> ShardIndex:
        """Read what `dumps` wrote.

        Args:
            text: JSON.
            place: where it is from, for messages.

        Raises:
            ValueError: it is no index, was cut off or altered by hand, or a newer version's.
        """
        try:
            found = json.loads(text)
        except ValueError:
            raise ValueError(
                f"{place}: not JSON, cut off perhaps; write the shards again, or fetch it anew"
            ) from None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"{place}: not an index of shards that datasets/shard.py wrote")
        if found.get("version") != VERSION:
            raise ValueError(
                f"{place}: version {found.get('version')} of the format, this videowino reads "
                f"version {VERSION}; update videowino, or write the shards again with this one"
            )
        try:
            index = cls(
                found["source"],
                list(found["class_names"]),
                {part: [Shard(**s) for s in found["parts"][part]["shards"]] for part in PARTS},
                {part: [_clip(row) for row in found["clips"][part]] for part in PARTS},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{place}: an index with something amiss ({error!r})") from None
        index._check(place)
        return index

    def _check(self, place: str) -> None:
        for part in PARTS:
            counts = {shard.name: 0 for shard in self.shards[part]}
            sizes = {shard.name: shard.bytes for shard in self.shards[part]}
            if sorted(c.number for c in self.clips[part]) != list(range(len(self.clips[part]))):
                raise ValueError(f"{place}: an index with something amiss (numbers of clips)")
            for clip in self.clips[part]:
                known = clip.shard in counts and 0 <= clip.label < len(self.class_names)
                if not known or not 0 <= clip.start < clip.start + clip.size <= sizes[clip.shard]:
                    raise ValueError(f"{place}: an index with something amiss (clip {clip})")
                counts[clip.shard] += 1
            for shard in self.shards[part]:
                # Names go into paths and URLs.
                if not _SHARD.fullmatch(shard.name) or counts[shard.name] != shard.clips:
                    raise ValueError(f"{place}: an index with something amiss ({shard.name!r})")


def _rows(clips: Iterable[ShardClip]) -> Iterable[str]:
    for c in clips:
        row = (c.shard, c.key, c.start, c.size, c.crc, c.number, c.label, c.group, str(c.path))
        yield json.dumps(row)


def _clip(row: list[Any]) -> ShardClip:
    shard, key, start, size, crc, number, label, group, name = row
    numbers = (start, size, crc, number, label)
    if not all(isinstance(n, int) for n in numbers):
        raise TypeError(f"not whole numbers: {numbers}")
    return ShardClip(Path(name), label, group, number, shard, key, start, size, crc)
