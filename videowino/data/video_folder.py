"""One's own clips in UCF101's layout."""

from __future__ import annotations

import logging
import warnings
from functools import cached_property
from pathlib import Path

from pytorch_lightning.utilities.rank_zero import rank_zero_only

from videowino.data.datamodule import VideoDataModule
from videowino.data.splits import (
    Video,
    carve,
    class_folders,
    group_of,
    listed_videos,
    name_some,
    read_class_index,
    smallest_group,
)

TEST_SHARE = 0.2

_log = logging.getLogger(__name__)


class VideoFolder(VideoDataModule):
    """`root/videos/<Class>/v_<Class>_gNN_cMM.ext`, with or without split lists.

    Lists are `root/splits/{classInd,trainlist0K,testlist0K}.txt` as UCF101's. Without them 80 % of
    the clips train and 20 % test, whole groups (the gNN of the names) on one side, at least one
    group each; the choice depends on the names and `seed` alone, and `split` must be 1.

    See `VideoDataModule` for the arguments and `datasets/folder.md` for the layout.
    """

    @cached_property
    def _videos_folder(self) -> Path:
        folder = self.root / "videos"
        return folder if folder.is_dir() else self.root

    @cached_property
    def _class_files(self) -> dict[str, list[Path]]:
        found = class_folders(self._videos_folder)
        if not found:
            raise ValueError(
                f"data.root={str(self.root)!r}: no class folders with video files in "
                f"{self._videos_folder}"
            )
        return found

    def read_class_names(self) -> list[str]:
        """Names of `splits/classInd.txt`; without it, of the class folders, sorted."""
        index = self.root / "splits" / "classInd.txt"
        return read_class_index(index) if index.is_file() else sorted(self._class_files)

    def read_split(self) -> tuple[list[Video], list[Video]]:
        """The clips that the lists name; without lists, all clips in two parts."""
        files = self._class_files  # first: an empty class folder is an error, listed or not
        lists = self.root / "splits"
        numbers = sorted(p.stem.removeprefix("trainlist") for p in lists.glob("trainlist*.txt"))
        if not numbers:
            return self._own_split(files)
        if f"{self.split:02d}" not in numbers:
            raise FileNotFoundError(
                f"data.split={self.split}: no trainlist{self.split:02d}.txt in {lists}; it has "
                f"lists {', '.join(numbers)}"
            )
        train, test = (
            listed_videos(self._list(part), self._videos_folder, self.class_names)
            for part in ("train", "test")
        )
        trained = {video.path for video in train}
        both = [video for video in test if video.path in trained]
        if both:
            warnings.warn(
                f"data.split={self.split}: {len(both)} of {len(test)} clips of the test list are "
                f"in the training list too, which makes the test easier: {name_some(both)}",
                stacklevel=2,
            )
        return train, test

    def _list(self, part: str) -> Path:
        path = self.root / "splits" / f"{part}list{self.split:02d}.txt"
        if not path.is_file():
            raise FileNotFoundError(f"data.split={self.split}: no {path.name} in {path.parent}")
        return path

    def _own_split(self, files: dict[str, list[Path]]) -> tuple[list[Video], list[Video]]:
        if self.split != 1:
            raise ValueError(
                f"data.split={self.split}: {self.root / 'splits'} holds no trainlist; "
                "without lists there is only split 1"
            )
        labels = {name: label for label, name in enumerate(self.class_names)}
        videos = [
            Video(path, labels[name], group_of(path))
            for name, paths in files.items()
            if name in labels
            for path in paths
        ]
        train, test = carve(videos, TEST_SHARE, self.seed)
        if not test:
            train, test = self._hold_out_one(videos)
        groups = len({video.group for video in test})
        rank_zero_only(_log.info)(
            f"{self.root} has no split lists: {len(train)} clips train, {len(test)} clips "
            f"({groups} whole groups) test"
        )
        return train, test

    def _hold_out_one(self, videos: list[Video]) -> tuple[list[Video], list[Video]]:
        """Test on the smallest group, where each is more than the usual share."""
        group = smallest_group(videos)
        if group is None:
            raise ValueError(
                f"data.root={str(self.root)!r}: there are no split lists, and no group of clips "
                f"(gNN in the names; {len({v.group for v in videos})} in all) can be held out for "
                "testing without all clips of a class; write split lists, see datasets/folder.md"
            )
        return [v for v in videos if v.group != group], [v for v in videos if v.group == group]
