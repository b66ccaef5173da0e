"""The order in which shards, and the clips in them, are seen."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import numpy as np

from videowino.data.position import neighbours
from videowino.data.streaming.index import ShardClip


class ShardsInOrder:
    """Shard after shard, each from its first byte to its last; a stretch for each process.

    Args:
        clips: the clips, in any order.
    """

    def __init__(self, clips: Sequence[ShardClip]) -> None:
        self.length = len(clips)
        lying = sorted(
            range(len(clips)), key=lambda index: (clips[index].shard, clips[index].start)
        )
        by_shard = itertools.groupby(lying, lambda index: clips[index].shard)
        self._shards = [list(indices) for _, indices in by_shard]

    def reading(
        self, epoch: int, rank: int, ranks: int, seen: Collection[int] = ()
    ) -> Sequence[int]:
        """The clips of one process in the order of reading."""
        shards = [self._shards[shard] for shard in self._order(epoch)]
        order = [index for shard in shards for index in shard if index not in seen]
        return neighbours(order, rank, ranks)

    def share(self, epoch: int, rank: int, ranks: int, seen: Collection[int] = ()) -> Sequence[int]:
        """The clips of one process in the order in which they are seen."""
        return self.reading(epoch, rank, ranks, seen)

    def _order(self, epoch: int) -> Sequence[int]:
        return range(len(self._shards))


class ShuffledShards(ShardsInOrder):
    """Shards in an order drawn from (seed, epoch), their clips through a shuffle buffer.

    Each process holds a buffer of so many clips: the next one to be seen is drawn from it, and the
    next one read takes its place. All of it is worked out from the index, before anything is read.

    Args:
        clips: the clips, in any order.
        buffer: clips in the shuffle buffer of each process.
        seed: the run's data seed.
    """

    def __init__(self, clips: Sequence[ShardClip], buffer: int, seed: int = 0) -> None:
        super().__init__(clips)
        self.buffer, self.seed = buffer, seed

    def share(self, epoch: int, rank: int, ranks: int, seen: Collection[int] = ()) -> Sequence[int]:
        """The clips of one process in the order of training."""
        read = self.reading(epoch, rank, ranks, seen)
        # The 1 sets its draws apart from those of the shards' order.
        random = np.random.default_rng([self.seed, epoch, rank, 1])
        held = list(read[: self.buffer])
        places = random.integers(len(held) or 1, size=max(0, len(read) - len(held)))
        order = []
        for index, place in zip(read[self.buffer :], places.tolist()):
            order.append(held[place])
            held[place] = index
        return order + [held[i] for i in random.permutation(len(held))]

    def _order(self, epoch: int) -> Sequence[int]:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self._shards)).tolist()
