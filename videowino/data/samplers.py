"""Which samples an epoch has, in which order and batches, and the random seed of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import BatchSampler, DistributedSampler


class EpochSampler(DistributedSampler):
    """Shuffled (index, seed) pairs that depend on (seed, epoch) alone.

    Everything random about a training sample follows from its seed, so an epoch is the same for
    any number of workers, and after a resume. Lightning calls `set_epoch` before each epoch, and
    leaves a DistributedSampler as it is in multi-process training.

    Args:
        length: number of samples.
        seed: the run's data seed.
        num_replicas: processes that share an epoch.
        rank: this process.
    """

    def __init__(self, length: int, seed: int = 0, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(range(length), num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        seeds = sample_seeds(self.seed, self.epoch, len(self.dataset))  # type: ignore[arg-type]
        order = super().__iter__()
        return ((index, int(seeds[index])) for index in order)


class EvenBatches(BatchSampler):
    """As many batches as needed, of sizes that differ by one at most.

    A last batch of two clips would move batch norm's running statistics, and the weights, by noise
    just before they are saved; here all clips are seen and no batch is small.

    Args:
        sampler: the samples of an epoch.
        batch_size: samples a batch, at most.
        start: epoch and batch that a resumed training goes on with.
        same: give the first epoch again and again, to overfit on a few batches.
    """

    sampler: EpochSampler

    def __init__(
        self,
        sampler: EpochSampler,
        batch_size: int,
        start: tuple[int, int] = (0, 0),
        same: bool = False,
    ) -> None:
        super().__init__(sampler, batch_size, drop_last=False)
        # Loaders fetch ahead as soon as there is one, before Lightning says which epoch it is.
        sampler.set_epoch(start[0])
        self.start, self.same = start, same

    def __iter__(self) -> Iterator[list[Any]]:
        if self.same:
            self.sampler.set_epoch(0)
        samples = list(self.sampler)
        count = len(self)
        epoch, first = self.start
        for batch in range(first if self.sampler.epoch == epoch else 0, count):
            start, stop = (len(samples) * edge // count for edge in (batch, batch + 1))
            yield samples[start:stop]


def sample_seeds(seed: int, epoch: int, length: int) -> np.ndarray:
    """One seed for each sample of an epoch, below 2**63."""
    return np.random.SeedSequence([seed, epoch]).generate_state(length, np.uint64) >> np.uint64(1)
