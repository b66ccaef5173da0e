"""Test protocols: how many views of a video are looked at, and how they are averaged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from videowino.data.crops import CROPS, check_crops

Average = Literal["probabilities", "logits"]
AVERAGES: tuple[str, ...] = get_args(Average)


@dataclass(frozen=True)
class Protocol:
    """K clips spread over the video, and C crops of each.

    Attributes:
        clips: K.
        crops: C; 1, 3 or 10, see `videowino.data.crops`.
        mirror: each crop mirrored as well; ten crops are already.

    Raises:
        ValueError: no such number of clips or crops.
    """

    clips: int = 1
    crops: int = 1
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ValueError(f"data.clips={self.clips}: at least 1")
        check_crops(self.crops, self.mirror)

    @property
    def name(self) -> str:
        """As the command line takes it: 10x3, with an m at the end where mirrored."""
        return f"{self.clips}x{self.crops}" + ("m" if self.mirror else "")

    @property
    def views(self) -> int:
        """Views of a video."""
        return self.clips * self.crops * (2 if self.mirror else 1)

    def __str__(self) -> str:
        """In words."""
        clips = "1 clip" if self.clips == 1 else f"{self.clips} clips"
        crops = "1 crop" if self.crops == 1 else f"{self.crops} crops"
        return f"{clips} x {crops}" + (", mirrored too" if self.mirror else "")


def parse_protocols(text: str) -> list[Protocol]:
    """The protocols of 1x1,10x1,10x3.

    Raises:
        ValueError: it is no such list, a number means nothing, or one is given twice.
    """
    found = []
    for part in str(text).strip("[]").split(","):
        match = re.fullmatch(r"\s*(\d+)x(\d+)(m?)\s*", part)
        if match is None:
            raise ValueError(
                f"views={text}: {part.strip()!r} is not clips x crops; give e.g. 1x1,10x1,10x3, or "
                "3x1m for crops mirrored as well"
            )
        clips, crops, mirror = int(match[1]), int(match[2]), bool(match[3])
        if clips < 1:
            raise ValueError(f"views={text}: {part.strip()} has no clip; at least 1")
        if crops not in CROPS:
            raise ValueError(f"views={text}: {part.strip()} has {crops} crops; 1, 3 or 10")
        if mirror and crops == 10:
            raise ValueError(f"views={text}: ten crops are mirrored already; leave out the m")
        found.append(Protocol(clips, crops, mirror))
    if twice := next((p for p in found if found.count(p) > 1), None):
        raise ValueError(f"views={text}: {twice.name} is given twice")
    return found


def richest(protocols: Sequence[Protocol]) -> Protocol:
    """The one of the most views, the first of equals: what details are told of."""
    return max(protocols, key=lambda protocol: protocol.views)
