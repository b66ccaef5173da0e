"""Split lists, class lists, exclusion lists, and those of HMDB51."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.mutate import change_bytes, change_lines
from videowino.data.exclusions import read_rows
from videowino.data.hmdb51 import read_marks
from videowino.data.splits import inside, listed_videos, read_class_index

_CLASSES = ["ApplyEyeMakeup", "Archery", "Run"]


class Lists:
    """All four read each file: whatever it was meant to be."""

    suffix = ".txt"

    def seeds(self) -> list[bytes]:
        """One of each."""
        return [
            b"1 ApplyEyeMakeup\n2 Archery\n3 Run\n",
            b"Archery/v_Archery_g08_c01.avi 2\nRun/v_Run_g01_c02.avi 3\n",
            b"Archery/v_Archery_g01_c01.avi\nRun/a name with blanks.avi\n",
            b"path,kind,exclude,split,detail\nvideos/Run/a.avi,corrupt,yes,1,no frames\n",
            b"first_clip_run_f_cm_np1_ba_med_0.avi 1\nsecond.avi 2\nthird.avi 0\n",
        ]

    def mutate(self, data: bytes, chance: random.Random) -> bytes:
        """Bytes or lines."""
        return chance.choice((change_bytes, change_lines))(data, chance)

    def read(self, path: Path) -> None:
        """As each of the kinds; refused where all of them do."""
        kinds: list[Callable[[], Any]] = [
            lambda: read_class_index(path),
            lambda: [_inside(v.path) for v in listed_videos(path, Path("videos"), _CLASSES)],
            lambda: read_rows(path),
            lambda: [_inside(inside(Path("videos"), name, path)) for name, _ in read_marks(path)],
        ]
        refused = []
        for kind in kinds:
            try:
                kind()
            except ValueError as error:
                refused.append(error)
        if len(refused) == len(kinds):
            raise refused[0]


def _inside(path: Path) -> None:
    assert path.parts[0] == "videos" and ".." not in path.parts, path
