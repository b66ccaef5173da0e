"""Random numbers of training that a resumed run draws again."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch


class EpochSeed(pl.Callback):
    """Seeds Python, NumPy and torch from (seed, epoch) at each epoch, and again at each batch.

    Dropout and mixup then depend on where in the training they are drawn and on nothing that
    happened before: not on validation, timing, or whether the process was restarted. Clips have
    seeds of their own (`videowino.data.samplers.EvenBatches`).

    Args:
        seed: the run's seed.
    """

    def __init__(self, seed: int = 0) -> None:
        if seed < 0:
            raise ValueError(f"seed={seed}: must be 0 or more")
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed for what an epoch's start draws."""
        self._seed(trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed for the forward pass."""
        # Several processes draw each their own; the first of them what one process draws.
        rank = (trainer.global_rank,) if trainer.global_rank else ()
        self._seed(trainer.current_epoch, 1 + batch_idx, *rank)

    def _seed(self, *place: int) -> None:
        words = np.random.SeedSequence([self.seed, *place]).generate_state(3)
        random.seed(int(words[0]))
        np.random.seed(int(words[1]))
        torch.manual_seed(int(words[2]))
