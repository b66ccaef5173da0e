"""What the processes of a training must agree on."""

from __future__ import annotations

import pytorch_lightning as pl
import torch


def largest_of_processes(trainer: pl.Trainer, value: int) -> int:
    """The largest of what the processes give, which is then the same in all of them.

    Args:
        trainer: of one process or several; all of them call this.
        value: this one's, up to 2^24.
    """
    if trainer.world_size == 1:
        return value
    own = torch.tensor(float(value), device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(own, reduce_op="max"))
