"""The views that protocols take of a video, each computed once however many protocols take it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from torch import Tensor

from videowino.data.crops import Crop, crops_of
from videowino.evaluation.protocols import Protocol


class View(NamedTuple):
    """A crop of a clip: the clip's row among those that were decoded, and the crop."""

    row: int
    crop: Crop

    def cut(self, clips: Tensor, size: tuple[int, int]) -> Tensor:
        """Of clips (K, T, C, H, W), this view: (T, C, height, width)."""
        return self.crop.cut(clips[self.row], size)


class Views(NamedTuple):
    """Those of a video.

    Attributes:
        distinct: what the network has to see.
        of: for each protocol the places in `distinct` of its views, a place more than once where
            crops coincide (as where the frame is no larger than the crop); crop by crop, and the
            clips of each in order, as the data modules' test batches are.
    """

    distinct: list[View]
    of: dict[Protocol, list[int]]


class ViewPlan:
    """Which views there are of frames of a size.

    Args:
        protocols: one or more.
        size: height and width that the network sees.
    """

    def __init__(self, protocols: Sequence[Protocol], size: tuple[int, int]) -> None:
        self.protocols, self.size = list(protocols), size
        #: Numbers of clips to decode, as `VideoDataModule.resized_dataloader` takes them.
        self.clips = list(dict.fromkeys(protocol.clips for protocol in protocols))
        self.views = cache(self._views)

    def _views(self, height: int, width: int) -> Views:
        """The views of a video of this size.

        Raises:
            ValueError: it is smaller than a crop.
        """
        places: dict[View, int] = {}
        of = {}
        for protocol in self.protocols:
            first = sum(self.clips[: self.clips.index(protocol.clips)])
            crops = crops_of(height, width, self.size, protocol.crops, protocol.mirror)
            of[protocol] = [
                places.setdefault(View(first + clip, crop), len(places))
                for crop in crops
                for clip in range(protocol.clips)
            ]
        return Views(list(places), of)
