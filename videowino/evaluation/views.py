"""Views of a video at test time: K clips x C crops, as published protocols count them."""

from __future__ import annotations

import re
from typing import NamedTuple

from videowino.data.transforms import CROPS


class Views(NamedTuple):
    """K clips spread over the video, each in C crops."""

    clips: int
    crops: int

    def __str__(self) -> str:
        return f"{self.clips}x{self.crops}"


def parse_views(text: str) -> list[Views]:
    """1x1,10x3 as [Views(1, 1), Views(10, 3)].

    Raises:
        ValueError: it is no such list, or names a protocol twice.
    """
    found: list[Views] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+)x(\d+)", part)
        if match is None or int(match[1]) < 1 or int(match[2]) not in CROPS:
            raise ValueError(
                f"views={text}: clips x crops, as 1x1,10x3; crops are one of "
                f"{', '.join(map(str, CROPS))}"
            )
        found.append(Views(int(match[1]), int(match[2])))
    if len(set(found)) < len(found):
        raise ValueError(f"views={text}: a protocol is given twice")
    return found
