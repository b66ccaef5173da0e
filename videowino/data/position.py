"""Where in an epoch a training is: which of its clips it has seen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple, Protocol


class Order(Protocol):
    """An order of a set's clips, and how processes share it."""

    length: int

    def share(self, epoch: int, rank: int, ranks: int, seen: Collection[int] = ()) -> Sequence[int]:
        """The clips of one process, of `ranks`, without those that are seen.

        The shares' sizes differ by one at most.
        """
        ...


class Stretch(NamedTuple):
    """A part of an epoch that so many processes have trained.

    Attributes:
        batches: of each process.
        ranks: the processes.
        batch_size: clips a batch, at most.
    """

    batches: int
    ranks: int
    batch_size: int


@dataclass(frozen=True)
class Position:
    """A place in a training: an epoch, and what of it is over.

    Attributes:
        epoch: counted from 0.
        stretches: one after the other, of processes and batches of different numbers and sizes.
    """

    epoch: int = 0
    stretches: tuple[Stretch, ...] = ()

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"epoch": self.epoch, "seen": [list(stretch) for stretch in self.stretches]}

    def split(self, ranks: int, batch_size: int) -> tuple[tuple[Stretch, ...], int]:
        """Stretches before the one that such processes go on with, and its batches so far."""
        if self.stretches and self.stretches[-1][1:] == (ranks, batch_size):
            return self.stretches[:-1], self.stretches[-1].batches
        return self.stretches, 0


START = Position()


def restored(state: dict[str, Any]) -> Position:
    """What `Position.state` gave.

    Raises:
        ValueError: it gave something else.
    """
    try:
        epoch, seen = state["epoch"], [Stretch(*stretch) for stretch in state["seen"]]
        numbers = [epoch, *(number for stretch in seen for number in stretch)]
        sound = all(type(number) is int and number >= 0 for number in numbers)
        sound = sound and all(stretch.ranks and stretch.batch_size for stretch in seen)
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise ValueError(
            f"ckpt_path: the place in an epoch that it holds is {str(state)[:80]}, which is none; "
            "it is damaged, or of another version of videowino. Begin a new run from its weights: "
            "--model.weights"
        )
    return Position(epoch, tuple(seen))


def epoch_is_over(fit_loop: Any) -> bool:
    """Whether a Trainer's fit loop is behind an epoch's last step, be it early, by max_steps."""
    epoch = fit_loop.epoch_progress.current
    early = epoch.started > 0 and epoch.processed == epoch.started
    return early or fit_loop.epoch_loop.batch_progress.is_last_batch


def seen_in(order: Order, epoch: int, stretches: Sequence[Stretch]) -> set[int]:
    """The clips of an epoch that all processes together saw in its stretches."""
    seen: set[int] = set()
    for batches, ranks, batch_size in stretches:
        count = batches_of(order.length - len(seen), ranks, batch_size)
        shares = [order.share(epoch, rank, ranks, seen) for rank in range(ranks)]
        seen.update(*(share[: edges(len(share), count)[min(batches, count)]] for share in shares))
    return seen


def neighbours(order: Sequence[int], rank: int, ranks: int) -> Sequence[int]:
    """The part of an order that is one process's, where each has clips that lie side by side."""
    # Rounded up, so that the first processes have clips where there are few.
    first, last = (-(-len(order) * part // ranks) for part in (rank, rank + 1))
    return order[first:last]


def batches_of(clips: int, ranks: int, batch_size: int) -> int:
    """How many batches each process makes of what all share."""
    return ceil(ceil(clips / ranks) / batch_size)


def edges(clips: int, batches: int) -> list[int]:
    """Where a share is cut into batches whose sizes differ by one at most; batches + 1 places."""
    return [clips * number // max(1, batches) for number in range(batches + 1)]
