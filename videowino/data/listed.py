"""What a data set's root and split lists say there is: its classes and the videos of each part."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl

from videowino.cli import require
from videowino.data.exclusions import leave_out
from videowino.data.splits import Video, carve, keep_present, limit

_STAGES = {"fit": "train", "validate": "val", "predict": "test"}
_PARTS = ("train", "val", "test")


def part_of(stage: str) -> str:
    """The part that a stage of Lightning's sees, "train" for "fit".

    Raises:
        ValueError: no such stage.
    """
    part = _STAGES.get(stage, stage)
    if part not in _PARTS:
        raise ValueError(f"stage={stage!r}: one of train, val, test, predict")
    return part


class ListedVideos(pl.LightningDataModule):
    """A data module as far as its lists go; the base of `VideoDataModule`, which loads.

    Args:
        root: the data set's folder.
        split: number of the split list.
        missing: what a listed clip that is not on disk is: "warn" (left out) or "error".
        exclude: list of videos to leave out.
        val_fraction: share of the training list, in whole groups, to validate on.
        limit_per_class: use at most so many videos of each class.
        seed: of the choice of groups.
    """

    def __init__(
        self,
        root: str,
        split: int,
        missing: str,
        exclude: str | None,
        val_fraction: float,
        limit_per_class: int | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.split, self.seed = split, seed
        self.missing, self.exclude, self.val_fraction = missing, exclude, val_fraction
        self.limit_per_class = limit_per_class
        require(0 <= val_fraction < 1, f"data.val_fraction={val_fraction}: from 0 to below 1")
        require(missing in ("warn", "error"), f"data.missing={missing!r}: 'warn' or 'error'")
        require(
            limit_per_class is None or limit_per_class >= 1,
            f"data.limit_per_class={limit_per_class}: at least 1, or null for all",
        )
        self._class_names: list[str] | None = None
        self._videos: dict[str, list[Video]] = {}

    # What a subclass defines.

    def read_class_names(self) -> list[str]:
        """Class names in label order, read from the root."""
        raise NotImplementedError

    def read_split(self) -> tuple[list[Video], list[Video]]:
        """The training and test videos that the chosen split lists, on disk or not."""
        raise NotImplementedError

    # What follows.

    @property
    def class_names(self) -> list[str]:
        """Class names in label order.

        Raises:
            FileNotFoundError: no such root or class list.
            ValueError: it cannot be read, or there is only one class.
        """
        if self._class_names is None:
            self._check_root()
            names = self.read_class_names()
            require(
                len(names) > 1,
                f"data.root={str(self.root)!r}: {names[0] if names else 'nothing'} is its only "
                "class; a classifier needs two or more",
            )
            self._class_names = names
        return self._class_names

    @property
    def num_classes(self) -> int:
        """Number of classes; known before `setup`, so that a model can be built from it."""
        return len(self.class_names)

    def videos(self, stage: str) -> list[Video]:
        """The videos of "train" ("fit"), "val" ("validate"), "test" or "predict" (the test list).

        The validation part may be empty, with a warning: then a fit does not validate.

        Raises:
            FileNotFoundError: no such root or list, or absent clips that are an error.
            ValueError: a list cannot be read, or names nothing that is on disk.
        """
        part = part_of(stage)
        if not self._videos:
            self._check_root()
            self._videos = self._read()
        if not self._videos[part] and part != "val":
            kind = "training" if part == "train" else "test"
            raise ValueError(
                f"data.split={self.split}: the {kind} list names no clip that is in {self.root}"
            )
        return self._videos[part]

    def _check_root(self) -> None:
        if not self.root.is_dir():
            raise FileNotFoundError(f"data.root={str(self.root)!r}: no such folder")

    def _read(self) -> dict[str, list[Video]]:
        listed = leave_out(self.read_split(), self.exclude, self.root, self.split)
        present = keep_present([*listed[0], *listed[1]], str(self.root), self.missing)
        on_disk = {video.path for video in present}
        train, test = ([v for v in videos if v.path in on_disk] for videos in listed)
        return self._parts(train, test)

    def _parts(self, train: list[Video], test: list[Video]) -> dict[str, list[Video]]:
        train, test = (limit(videos, self.limit_per_class) for videos in (train, test))
        val = test
        if self.val_fraction:
            train, val = carve(train, self.val_fraction, self.seed)
            require(
                bool(val),
                f"data.val_fraction={self.val_fraction}: no group of clips can be split off "
                "without taking more than that or all clips of a class "
                f"({len({v.group for v in train})} groups, {len(train)} clips)",
            )
        return {"train": train, "val": val, "test": test}
