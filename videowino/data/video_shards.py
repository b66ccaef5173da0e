"""Clips from tar shards, which `datasets/shard.py` writes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from torch import nn

from videowino.cli import require
from videowino.data.datamodule import VideoDataModule
from videowino.data.position import Order
from videowino.data.splits import Video
from videowino.data.streaming.dataset import ShardDataset
from videowino.data.streaming.extra import need
from videowino.data.streaming.index import INDEX, PARTS, Shard, ShardIndex
from videowino.data.streaming.order import ShardsInOrder, ShuffledShards
from videowino.data.streaming.place import place_of


class VideoShards(VideoDataModule):
    """Streams what `datasets/shard.py` wrote, from a folder or a web server.

    A clip is what it is in the data set that the shards were made of: of the same seed, epoch and
    place in the list come the same frames, crop and so on. Its shards are read from the first byte
    to the last, in an order drawn anew for each epoch and through a shuffle buffer; all processes
    together see each clip once. docs/data.md tells how.

    Takes `VideoDataModule`'s arguments; those below are its own or of other meaning.

    Args:
        root: the folder of the shards, or its http(s) or file URL. No other kind: a `pipe:` would
            let a configuration or checkpoint from elsewhere run any command.
        split: refuse shards of another split than this; None takes those that are there.
        shuffle_buffer: training clips that each process may hold, encoded, to mix their order; they
            are shuffled over all shards already where they were written.
        cache_dir: keep the shards that come from a web server in this folder.
        **kwargs: the other arguments of `VideoDataModule`. `missing` is of
            no effect, and `exclude` is for where the shards are written.

    Raises:
        ValueError: a number is out of its range, or no such kind of `root`.
    """

    def __init__(
        self,
        *,
        root: str,
        split: int | None = None,
        shuffle_buffer: int = 256,
        cache_dir: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(root=root, split=split or 1, **kwargs)
        self.hparams.update(split=split)
        self.asked = split
        self.shuffle_buffer = shuffle_buffer
        require(shuffle_buffer >= 1, f"data.shuffle_buffer={shuffle_buffer}: at least 1")
        require(
            self.exclude is None,
            f"data.exclude={self.exclude!r}: is for writing shards (datasets/shard.py --exclude); "
            "what they hold now is seen",
        )
        need("webdataset", f"data.root={str(root)!r}")
        self.place = place_of(str(root), cache_dir)

    @cached_property
    def index(self) -> ShardIndex:
        """What the shards hold.

        Raises:
            FileNotFoundError, ValueError: there are none, they cannot be read, or are of another
                split.
        """
        found = ShardIndex.loads(self.place.index(), f"{self.place.name}/{INDEX}")
        written = found.source.get("split")
        require(
            self.asked in (None, written),
            f"data.split={self.asked}: the shards in {self.place.name} are of split {written}; "
            "datasets/shard.py --split writes those of another",
        )
        self.split = self.hparams["split"] = int(written or 1)  # for a checkpoint to tell
        return found

    @property
    def _shards(self) -> list[Shard]:
        return [shard for part in PARTS for shard in self.index.shards[part]]

    def read_class_names(self) -> list[str]:
        """The names in the index."""
        return self.index.class_names

    def read_split(self) -> tuple[list[Video], list[Video]]:
        """The clips in the shards, in the order of the data set's lists."""
        train, test = (
            sorted(self.index.clips[part], key=lambda clip: clip.number) for part in PARTS
        )
        return list(train), list(test)

    def order(self, part: str, shuffled: bool) -> Order:
        """Shard after shard; through a shuffle buffer, shards shuffled too, if `shuffled`."""
        clips: Any = self.videos(part)
        if not shuffled:
            return ShardsInOrder(clips)
        return ShuffledShards(clips, self.shuffle_buffer, self.seed)

    def dataset(
        self, part: str, transform: nn.Module, clips: int | Sequence[int] | None = None
    ) -> ShardDataset:
        """Samples of clips in shards."""
        videos: Any = self.videos(part)
        options = self.sample_options(part, transform, clips)
        return ShardDataset(self.place, self._shards, videos, **options)

    def _check_root(self) -> None:
        """The index tells."""

    def _read(self) -> dict[str, list[Video]]:
        for shard in self._shards:
            self.place.check(shard)
        return self._parts(*self.read_split())
