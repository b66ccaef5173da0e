"""Samples of clips in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch.utils.data import get_worker_info

from videowino.data.dataset import VideoDataset
from videowino.data.decoding import FrameReader
from videowino.data.samplers import Batch, EvenBatches
from videowino.data.streaming.index import Shard, ShardClip
from videowino.data.streaming.memory_file import MemoryVideo
from videowino.data.streaming.place import Place
from videowino.data.streaming.reader import ClipReader


class ShardDataset(VideoDataset):
    """The samples that a `VideoDataset` of the same files gives, of clips in shards.

    A loader gives its workers batches in turns, so a worker that is asked for one knows, from the
    plan of the epoch, all that it will be asked for: its clips are read ahead in the order in which
    they lie in the shards. Asked for others, it reads them one by one.

    Args:
        place: where the shards are.
        shards: all that the clips may be in.
        videos: the clips, in any order.
        **options: the others of `VideoDataset`.
    """

    videos: Sequence[ShardClip]

    def __init__(
        self, place: Place, shards: Iterable[Shard], videos: Sequence[ShardClip], **options: Any
    ) -> None:
        super().__init__(videos, **options)
        self.place = place
        self._clip_reader = ClipReader(place, shards)
        self._batches: EvenBatches | None = None
        self._next: tuple[int, int] | None = None

    def follow(self, batches: EvenBatches) -> None:
        """Told which batches will be asked for."""
        self._batches = batches

    def __getitem__(self, key: int | tuple[int, int] | Batch) -> dict[str, Any]:
        """See `VideoDataset`.

        Raises:
            ShardError: a shard is absent, altered, or cannot be reached.
            ValueError: none of many clips can be used; the last is named by its shard and key.
        """
        if isinstance(key, Batch) and self._batches is not None:
            self._look_ahead(key, self._batches)
        return super().__getitem__(key)

    def name(self, index: int) -> str:
        """The shard, the clip's key in it, and its name in the data set's list."""
        clip = self.videos[index]
        return f"{self.place.name}/{clip} ({str(clip.path)!r})"

    def opening(self, index: int) -> Callable[[], FrameReader]:
        """What opens a clip's video, once its bytes are here."""
        content, name = self._clip_reader.read(self.videos[index]), self.name(index)
        return lambda: MemoryVideo(content, name, self.decoder)

    def _look_ahead(self, batch: Batch, batches: EvenBatches) -> None:
        worker = get_worker_info()
        step = worker.num_workers if worker else 1
        if (batch.epoch, batch.number) != self._next:
            left = [b for b in batches.batches(batch.epoch) if b.number >= batch.number]
            own = left[::step]
            wanted = {index for b in own for index, _ in b.samples}
            wanted -= self._kept.keys() | self._bad.keys()  # not read again
            order = batches.order
            reading = getattr(order, "reading", order.share)
            seen = batches.seen(batch.epoch)
            share = reading(batch.epoch, batches.rank, batches.num_replicas, seen)
            clips = [self.videos[index] for index in share if index in wanted]
            self._clip_reader.expect(clips, getattr(order, "buffer", 0))
        self._next = batch.epoch, batch.number + step
