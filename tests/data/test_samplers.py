"""Every clip once, in as many batches for each process, whatever the numbers."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler, SequentialSampler

from videowino.data.position import Position, Stretch
from videowino.data.samplers import EvenBatches, InOrder, Shuffled, sample_seeds
from videowino.data.streaming.index import ShardClip
from videowino.data.streaming.order import ShardsInOrder, ShuffledShards


def shard_clips(counts):
    """Clips in shards of so many, listed in another order than they lie in."""
    clips = [
        ShardClip(Path("x"), 0, "g", 0, f"train-{shard:06d}.tar", f"{i}", 1000 * i, 1000, 0)
        for shard, count in enumerate(counts)
        for i in range(count)
    ]
    return clips[::2] + clips[1::2]


def orders(length):
    counts = [length // 3, 0, 1, length - length // 3 - 1] if length else []
    clips = shard_clips(counts)
    return {
        "in order": InOrder(length),
        "shuffled": Shuffled(length, seed=3),
        "shards in order": ShardsInOrder(clips),
        "shuffled shards": ShuffledShards(clips, 4, seed=3),
    }


@pytest.mark.parametrize("kind", list(orders(1)))
@given(
    length=st.integers(1, 60),
    batch_size=st.integers(1, 9),
    ranks=st.integers(1, 7),
    epoch=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_clip_once_in_even_batches(kind, length, batch_size, ranks, epoch):
    order = orders(length)[kind]
    of_ranks = [
        EvenBatches(order, batch_size, rank=rank, ranks=ranks).batches(epoch)
        for rank in range(ranks)
    ]
    seen = [sample for batches in of_ranks for batch in batches for sample in batch.samples]
    assert sorted(index for index, _ in seen) == list(range(length))
    seeds = sample_seeds(0, epoch, length)
    assert all(seed == seeds[index] for index, seed in seen)  # of the clip, not of the process
    count = math.ceil(math.ceil(length / ranks) / batch_size)
    assert [len(batches) for batches in of_ranks] == [count] * ranks
    sizes = [len(batch.samples) for batches in of_ranks for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    assert all(b.number == n and b.epoch == epoch for bs in of_ranks for n, b in enumerate(bs))


def test_the_first_process_has_a_clip_in_evaluation():
    for order in (InOrder(1), ShardsInOrder(shard_clips([1]))):
        assert [len(order.share(0, rank, 3)) for rank in range(3)] == [1, 0, 0]


def test_epochs_of_the_sampler():
    batches = EvenBatches(Shuffled(7), 3, seed=1)
    assert len(batches) == 3
    first = list(batches)
    assert [b.epoch for b in first] == [0, 0, 0]
    batches.set_epoch(2)
    assert list(batches) == batches.batches(2) != first
    resumed = EvenBatches(Shuffled(7), 3, seed=1, start=Position(2, (Stretch(1, 1, 3),)))
    assert list(resumed) == batches.batches(2)[1:]  # the loader begins before it is told an epoch
    resumed.set_epoch(3)
    assert list(resumed) == batches.batches(3)
    same = EvenBatches(Shuffled(7), 3, seed=1, same=True)
    same.set_epoch(2)
    assert list(same) == first


def test_lightning_leaves_it_as_it_is():
    """It replaces samplers that are neither of these, with padded ones and unshuffled ones."""
    batches = EvenBatches(InOrder(3), 2)
    assert isinstance(batches, DistributedSampler) and isinstance(batches, SequentialSampler)


def test_shards_are_read_from_beginning_to_end():
    clips = shard_clips([4, 3, 5])
    order = ShuffledShards(clips, 3, seed=1)
    for epoch in range(4):
        places = [(clips[i].shard, clips[i].start) for i in order.reading(epoch, 0, 1)]
        shards = list(dict.fromkeys(shard for shard, _ in places))
        assert places == sorted(places, key=lambda place: (shards.index(place[0]), place[1]))
        halves = order.reading(epoch, 0, 2) + order.reading(epoch, 1, 2)
        assert halves == order.reading(epoch, 0, 1)
    assert len({tuple(order.reading(epoch, 0, 1)) for epoch in range(6)}) > 2


@pytest.mark.parametrize("buffer", [1, 2, 5, 12, 100])
def test_the_shuffle_buffer(buffer):
    order = ShuffledShards(shard_clips([4, 3, 5]), buffer, seed=1)
    read, seen = order.reading(0, 0, 1), list(order.share(0, 0, 1))
    place = {index: number for number, index in enumerate(read)}
    # The n-th to be seen is among the first n + buffer that were read.
    assert all(place[index] < number + buffer for number, index in enumerate(seen))
    assert (seen == read) == (buffer == 1)
    assert list(order.share(0, 0, 1)) == seen != list(order.share(1, 0, 1))
