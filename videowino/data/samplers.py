"""Which clips each process sees in an epoch, and in which batches.

In training and in evaluation alike, every clip is seen exactly once, by one of the processes, and
all processes have the same number of batches: they wait for each other in every training step, and
in some of evaluation's. So where the clips do not divide, batches differ in size, by one at most,
and clips are neither repeated nor left out.

DistributedDataParallel averages the processes' gradients whatever their batches' sizes, so a clip
in a batch of 7 counts 8/7 of one in a batch of 8. Repeating clips, the usual way out, would count
some of them twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import DistributedSampler, SequentialSampler


class Batch(NamedTuple):
    """What a loader asks a dataset for.

    Attributes:
        epoch: the epoch that it is of.
        number: its place among the process's batches of the epoch.
        samples: (index, seed) each; none where there are fewer clips than processes.
    """

    epoch: int
    number: int
    samples: list[tuple[int, int]]


class Order(Protocol):
    """An order of a set's clips, and how processes share it."""

    length: int

    def share(self, epoch: int, rank: int, ranks: int) -> Sequence[int]:
        """The clips of one process, of `ranks`; the shares' sizes differ by one at most."""
        ...


class InOrder:
    """The clips as they are listed, in neighbouring parts.

    Args:
        length: number of clips.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def share(self, epoch: int, rank: int, ranks: int) -> Sequence[int]:
        """The same in every epoch."""
        # Rounded up, so that the first processes have clips where there are few.
        first, last = (-(-self.length * part // ranks) for part in (rank, rank + 1))
        return range(first, last)


class Shuffled:
    """An order drawn from (seed, epoch).

    Args:
        length: number of clips.
        seed: the run's data seed.
    """

    def __init__(self, length: int, seed: int = 0) -> None:
        self.length, self.seed = length, seed

    def share(self, epoch: int, rank: int, ranks: int) -> Sequence[int]:
        """Each `ranks`-th clip of the epoch's order."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        return torch.randperm(self.length, generator=generator).tolist()[rank::ranks]


class EvenBatches(DistributedSampler, SequentialSampler):
    """As many batches as needed, of sizes that differ by one at most.

    A last batch of two clips would move batch norm's running statistics, and the weights, by noise
    just before they are saved; here all clips are seen and no batch is small.

    Everything random about a training sample follows from its seed, and that from (seed, epoch,
    index) alone. So an epoch is the same for any number of workers, and after a resume.

    It yields whole batches, so a loader takes it as its sampler, with `batch_size=None`. Lightning
    leaves a DistributedSampler as it is where there are several processes, a SequentialSampler
    where it overfits on a few batches, and calls `set_epoch` before each epoch.

    Args:
        order: the clips of an epoch.
        batch_size: samples a batch, at most.
        seed: the run's data seed.
        rank: this process.
        ranks: processes that share an epoch.
        start: epoch and batch that a resumed training goes on with.
        same: give the first epoch again and again, to overfit on a few batches.
    """

    def __init__(
        self,
        order: Order,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        start: tuple[int, int] = (0, 0),
        same: bool = False,
    ) -> None:
        DistributedSampler.__init__(
            self,
            range(order.length),  # type: ignore[arg-type]
            num_replicas=ranks,
            rank=rank,
            seed=seed,
        )
        self.order, self.batch_size = order, batch_size
        self.start, self.same = start, same
        # Loaders fetch ahead as soon as there is one, before Lightning says which epoch it is.
        self.set_epoch(start[0])

    def __len__(self) -> int:
        largest = math.ceil(self.order.length / self.num_replicas)
        return math.ceil(largest / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        epoch = 0 if self.same else self.epoch
        first = self.start[1] if epoch == self.start[0] else 0
        yield from self.batches(epoch)[first:]

    def batches(self, epoch: int) -> list[Batch]:
        """All batches that this process sees of an epoch."""
        share = self.order.share(epoch, self.rank, self.num_replicas)
        seeds = sample_seeds(self.seed, epoch, self.order.length)
        samples = [(index, int(seeds[index])) for index in share]
        count = len(self)
        edges = [len(samples) * number // count for number in range(count + 1)]
        return [
            Batch(epoch, number, samples[edges[number] : edges[number + 1]])
            for number in range(count)
        ]


def sample_seeds(seed: int, epoch: int, length: int) -> np.ndarray:
    """One seed for each sample of an epoch, below 2**63."""
    return np.random.SeedSequence([seed, epoch]).generate_state(length, np.uint64) >> np.uint64(1)
