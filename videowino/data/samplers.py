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

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DistributedSampler, SequentialSampler

from videowino.data.position import (
    START,
    Order,
    Position,
    Stretch,
    batches_of,
    edges,
    neighbours,
    seen_in,
)


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


class InOrder:
    """The clips as they are listed, in neighbouring parts.

    Args:
        length: number of clips.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def share(self, epoch: int, rank: int, ranks: int, seen: Collection[int] = ()) -> Sequence[int]:
        """The same in every epoch."""
        left = [index for index in range(self.length) if index not in seen]
        return neighbours(left, rank, ranks)


class Shuffled:
    """An order drawn from (seed, epoch).

    Args:
        length: number of clips.
        seed: the run's data seed.
    """

    def __init__(self, length: int, seed: int = 0) -> None:
        self.length, self.seed = length, seed

    def share(self, epoch: int, rank: int, ranks: int, seen: Collection[int] = ()) -> Sequence[int]:
        """Each `ranks`-th clip of the epoch's order."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        order = torch.randperm(self.length, generator=generator).tolist()
        return [index for index in order if index not in seen][rank::ranks]


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
        start: where a resumed training goes on. The clips of that epoch which are not seen yet are
            shared anew among the processes, where their number is another than before.
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
        start: Position = START,
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
        self._of_others, self._own_batches = start.split(ranks, batch_size)
        # Loaders fetch ahead as soon as there is one, before Lightning says which epoch it is.
        self.set_epoch(start.epoch)

    def __len__(self) -> int:
        return batches_of(self.order.length, self.num_replicas, self.batch_size)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        epoch = 0 if self.same else self.epoch
        begun = self.begun(epoch)
        yield from (batch for batch in self.batches(epoch) if batch.number >= begun)

    def begun(self, epoch: int) -> int:
        """The number of the batch that an epoch goes on with, or begins with."""
        return self.first(epoch) + (self._own_batches if epoch == self.start.epoch else 0)

    def first(self, epoch: int) -> int:
        """The number of the first batch that processes like these make of an epoch.

        It is 0 but where others have begun: the last batch has the same number in any case.
        """
        return len(self) - batches_of(
            self.order.length - len(self.seen(epoch)), self.num_replicas, self.batch_size
        )

    def seen(self, epoch: int) -> Collection[int]:
        """The clips of an epoch that were seen by processes of another number or batch size."""
        return seen_in(self.order, epoch, self._stretches_of_others(epoch))

    def position(self, epoch: int, batches: int) -> Position:
        """Where a training is, after so many batches of an epoch, those of others counted."""
        before = self._stretches_of_others(epoch)
        own = Stretch(batches - self.first(epoch), self.num_replicas, self.batch_size)
        return Position(epoch, (*before, own) if own.batches else before)

    def _stretches_of_others(self, epoch: int) -> tuple[Stretch, ...]:
        return self._of_others if epoch == self.start.epoch else ()

    def batches(self, epoch: int) -> list[Batch]:
        """All batches that this process makes of an epoch, or of what others have left of it."""
        share = self.order.share(epoch, self.rank, self.num_replicas, self.seen(epoch))
        seeds = sample_seeds(self.seed, epoch, self.order.length)
        samples = [(index, int(seeds[index])) for index in share]
        first = self.first(epoch)
        places = edges(len(samples), len(self) - first)
        return [
            Batch(epoch, first + number, samples[places[number] : places[number + 1]])
            for number in range(len(self) - first)
        ]


def sample_seeds(seed: int, epoch: int, length: int) -> np.ndarray:
    """One seed for each sample of an epoch, below 2**63."""
    return np.random.SeedSequence([seed, epoch]).generate_state(length, np.uint64) >> np.uint64(1)
