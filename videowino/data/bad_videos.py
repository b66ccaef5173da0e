"""Videos that cannot be read: named once, counted, and a limit to how many there may be."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from videowino.data.splits import Video

#: Always allowed, so that a small set is not stopped by its first bad file.
_FEW = 10
_NAMED = 3  # in the message that ends a training


class BadVideos:
    """Those of one part of a data set, as its batches tell of them.

    Args:
        part: "train", "val" or "test".
        videos: all of the part.
        share: of them that may be bad, ten at least but never half; 0 allows none.
        root: the data set's folder, for messages.
    """

    def __init__(self, part: str, videos: Sequence[Video], share: float, root: Path) -> None:
        self.part, self.videos, self.share, self.root = part, videos, share, root
        many = max(_FEW, int(share * len(videos)))
        self.allowed = min(many, (len(videos) - 1) // 2) if share else 0
        self.reasons: dict[int, str] = {}

    def add(self, index: int, reason: str) -> None:
        """Counts a video, and warns of it the first time.

        Raises:
            ValueError: there are more than allowed.
        """
        if index in self.reasons:
            return
        self.reasons[index] = reason
        if len(self.reasons) > self.allowed:
            raise ValueError(self._too_many())
        what = "another clip takes its place" if self.part == "train" else "it counts as wrong"
        warnings.warn(f"{reason}; {what}", stacklevel=2)

    def _too_many(self) -> str:
        first = "; ".join(list(self.reasons.values())[:_NAMED])
        return (
            f"{len(self.reasons)} of {len(self.videos)} {self.part} videos cannot be read, more "
            f"than data.max_bad={self.share:g} allows ({self.allowed}): {first}. `python "
            f"datasets/verify.py --root {self.root}` finds them all"
        )


def collate(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch, and with it the bad videos that its samples met: [(part, index, reason), ...].

    Of no samples, a batch of none.
    """
    if not samples:
        none = torch.zeros(0, dtype=torch.int64)
        return {"clip": torch.zeros(0), "label": none, "video": none.clone()}
    bad = [found for sample in samples for found in sample.get("bad", ())]
    rest = [{k: v for k, v in sample.items() if k != "bad"} for sample in samples]
    batch: dict[str, Any] = default_collate(rest)
    return batch | {"bad": bad} if bad else batch
