"""Which of the official clips a root holds, in all and in each split."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rich.table import Table

from videowino.data import HMDB51, UCF101, VideoDataModule
from videowino.preparing.layout import clips_folder, official_clips
from videowino.preparing.official import Benchmark

_MODULES: dict[str, type[VideoDataModule]] = {"ucf101": UCF101, "hmdb51": HMDB51}


@dataclass
class Index:
    """What is in a root.

    Attributes:
        benchmark: the data set.
        root: its folder.
        listed: clips that the lists name.
        missing: those that are not on disk, or are empty.
        splits: training and test clips on disk of splits 1, 2 and 3, as the data module reads them.
    """

    benchmark: Benchmark
    root: Path
    listed: list[PurePosixPath]
    missing: list[PurePosixPath]
    splits: list[tuple[int, int]] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, and the lists are the official ones in number."""
        return not self.missing and len(self.listed) == self.benchmark.num_clips

    def summary(self) -> str:
        """How many clips there are, in one line."""
        present = len(self.listed) - len(self.missing)
        due = f"{present:,} of {self.benchmark.num_clips:,} clips"
        return f"{self.benchmark.title} in {self.root}: {due}"

    def table(self) -> Table:
        """A row a split: clips on disk of those that the split has."""
        table = Table("split", "training clips", "test clips")
        for number, (found, official) in enumerate(zip(self.splits, self.benchmark.splits), 1):
            table.add_row(
                str(number), *(f"{have:,} of {due:,}" for have, due in zip(found, official))
            )
        return table


def clip_sizes(folder: Path) -> dict[PurePosixPath, int]:
    """Bytes of each file two levels down, by `<class>/<file>`; one directory read a class."""
    sizes = {}
    if folder.is_dir():
        for entry in os.scandir(folder):
            if entry.is_dir():
                for file in os.scandir(entry.path):
                    if file.is_file():
                        sizes[PurePosixPath(entry.name, file.name)] = file.stat().st_size
    return sizes


def check_index(root: Path, benchmark: Benchmark) -> Index:
    """Compare a root with the lists in it; `count_splits` adds the splits.

    Raises:
        ValueError: a list cannot be read.
    """
    listed = official_clips(root, benchmark)
    sizes = clip_sizes(clips_folder(root, benchmark))
    return Index(benchmark, root, listed, [clip for clip in listed if not sizes.get(clip)])


def count_splits(index: Index) -> None:
    """Have the data module read the root, and count what is there of each split.

    Raises:
        ValueError: the data module refuses the root; the message says why.
    """
    folder = clips_folder(index.root, index.benchmark)
    missing = {folder / clip for clip in index.missing}
    index.splits = []
    for number in range(1, len(index.benchmark.splits) + 1):
        module = _MODULES[index.benchmark.name](root=str(index.root), split=number)
        train, test = module.read_split()
        present = [sum(video.path not in missing for video in part) for part in (train, test)]
        index.splits.append((present[0], present[1]))
