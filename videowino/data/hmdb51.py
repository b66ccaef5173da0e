"""HMDB51 (Kuehne et al. 2011) with its official lists."""

from __future__ import annotations

import re
from pathlib import Path

from videowino.data.datamodule import VideoDataModule
from videowino.data.splits import Video, class_folders, inside, read_lines
from videowino.data.ucf101 import videos_folder

_UNUSED, _TRAIN, _TEST = "0", "1", "2"  # the marks of the lists


class HMDB51(VideoDataModule):
    """51 classes, 6766 clips, 3 splits of 70 training and 30 test clips a class.

    The clips `<class>/<name>.avi` are in `root/videos`, `root/hmdb51` or `root`; the lists in
    `root/testTrainMulti_7030_splits` or `root/splits`. See `datasets/hmdb51.md`, and
    `VideoDataModule` for the arguments.
    """

    def read_class_names(self) -> list[str]:
        """The classes of the lists' file names, sorted."""
        return sorted(path.name.removesuffix("_test_split1.txt") for path in self._lists(1))

    def read_split(self) -> tuple[list[Video], list[Video]]:
        """The clips that the split's 51 lists mark for training and for testing."""
        if self.split not in (1, 2, 3):
            raise ValueError(f"data.split={self.split}: HMDB51 has splits 1, 2 and 3")
        folder = videos_folder(self.root, "hmdb51")
        class_folders(folder, self.class_names)  # an empty one is an error
        labels = {name: label for label, name in enumerate(self.class_names)}
        marked: dict[str, list[Video]] = {_TRAIN: [], _TEST: [], _UNUSED: []}
        for path in self._lists(self.split):
            name = path.name.removesuffix(f"_test_split{self.split}.txt")
            for file, mark in read_marks(path):
                video = inside(folder / name, file, path)
                marked[mark].append(Video(video, labels[name], source_of(video)))
        return marked[_TRAIN], marked[_TEST]

    def _lists(self, split: int) -> list[Path]:
        for name in ("testTrainMulti_7030_splits", "splits"):
            found = sorted((self.root / name).glob(f"*_test_split{split}.txt"))
            if found:
                return found
        raise FileNotFoundError(
            f"data.root={str(self.root)!r}: no testTrainMulti_7030_splits/*_test_split{split}.txt "
            "in it; datasets/hmdb51.md says where the lists come from"
        )


def read_marks(path: Path) -> list[tuple[str, str]]:
    """Names of clips and their marks, of one list.

    Raises:
        ValueError: a line has no name, or another mark.
    """
    found = []
    for line in read_lines(path):
        file, _, mark = line.rpartition(" ")
        if mark not in (_UNUSED, _TRAIN, _TEST) or not file:
            raise ValueError(f"{path}: cannot read {line!r}; expected 'name.avi 0|1|2'")
        found.append((file.strip(), mark))
    return found


def source_of(path: Path) -> str:
    """The film that a clip was cut from, as far as its name tells.

    Names are `<film>_<class>_<body>_<camera>_<people>_<view>_<quality>_<number>.avi`.
    """
    film = path.name.rpartition(f"_{path.parent.name}_")[0] or path.stem
    return re.sub(r"_\d+$", "", film)
