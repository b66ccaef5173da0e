"""How long a training is, in optimizer steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytorch_lightning as pl


@dataclass(frozen=True)
class Length:
    """Of a training.

    Attributes:
        total: optimizer steps, whichever limit ends it.
        an_epoch: optimizer steps of one epoch; infinite where the data has no length.
        dry: a run of a few batches to see whether it runs (fast_dev_run).
    """

    total: int
    an_epoch: float
    dry: bool = False

    def steps(self, epochs: float) -> int:
        """The optimizer step at the end of so many epochs; just after the end if that is later."""
        return round(min(epochs * self.an_epoch, self.total + 1)) if epochs else 0

    def __str__(self) -> str:
        return f"{self.total} steps, {self.an_epoch:g} an epoch"


def length_of(trainer: pl.Trainer) -> Length:
    """The length of the training that a Trainer is set up for.

    Raises:
        ValueError: nothing ends it.
    """
    if trainer.train_dataloader is None:
        trainer.fit_loop.setup_data()  # which counts the batches
    total = trainer.estimated_stepping_batches
    if not math.isfinite(total) or total < 0:
        raise ValueError(
            "the learning rate schedule needs an end: set trainer.max_epochs or max_steps"
        )
    an_epoch = float(trainer.num_training_batches)
    if math.isfinite(an_epoch):
        an_epoch = max(1, math.ceil(an_epoch / trainer.accumulate_grad_batches))
    return Length(int(total), an_epoch, bool(trainer.fast_dev_run))  # type: ignore[attr-defined]
