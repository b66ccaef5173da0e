"""UCF101 (Soomro et al. 2012) with its official lists."""

from __future__ import annotations

from pathlib import Path

from videowino.data.datamodule import VideoDataModule
from videowino.data.splits import Video, class_folders, listed_videos, read_class_index


class UCF101(VideoDataModule):
    """101 classes, 13320 clips, 3 splits.

    The clips `<Class>/v_<Class>_gNN_cMM.avi` are in `root/videos`, `root/UCF-101` (as the archive
    unpacks) or `root`; the lists in `root/ucfTrainTestlist`. See `datasets/ucf101.md`, and
    `VideoDataModule` for the arguments.
    """

    def read_class_names(self) -> list[str]:
        """The 101 names of `classInd.txt`."""
        return read_class_index(self._list("classInd.txt"))

    def read_split(self) -> tuple[list[Video], list[Video]]:
        """The clips of `trainlist0K.txt` and `testlist0K.txt`."""
        if self.split not in (1, 2, 3):
            raise ValueError(f"data.split={self.split}: UCF101 has splits 1, 2 and 3")
        folder = videos_folder(self.root, "UCF-101")
        class_folders(folder, self.class_names)  # an empty one is an error
        train, test = (
            listed_videos(self._list(f"{part}list{self.split:02d}.txt"), folder, self.class_names)
            for part in ("train", "test")
        )
        return train, test

    def _list(self, name: str) -> Path:
        path = self.root / "ucfTrainTestlist" / name
        if not path.is_file():
            raise FileNotFoundError(
                f"data.root={str(self.root)!r}: no ucfTrainTestlist/{name} in it; "
                "datasets/ucf101.md says where the lists come from"
            )
        return path


def videos_folder(root: Path, archive_name: str) -> Path:
    """Where a root keeps its class folders: `videos`, the archive's own folder, or the root."""
    for name in ("videos", archive_name):
        if (root / name).is_dir():
            return root / name
    return root
