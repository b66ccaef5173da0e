"""`NextEpoch`: a training resumed behind an epoch's last step begins the next epoch."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.loops.loop import _Loop


class NextEpoch(pl.Callback):
    """Counts a restored epoch as over, where the checkpoint was saved behind its last step.

    Callbacks save before Lightning (2.6) has counted the step and the epoch. It makes up for that,
    but takes the next epoch for one that it restarts: its hooks are not called and its start is not
    counted, so that a checkpoint from its middle cannot be resumed from. Where `max_steps` says how
    long a training is, it restarts from every checkpoint, at an epoch's end too. Here the counts
    become those of an epoch's end, and what follows is no restart but a new epoch. Resumed
    elsewhere, nothing changes. It comes before callbacks that ask for the epoch.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The counts are restored by now, and no epoch has begun."""
        fit, steps = trainer.fit_loop, trainer.fit_loop.epoch_loop
        batches = steps.batch_progress
        if not batches.is_last_batch:
            return
        for epochs in (fit.epoch_progress.total, fit.epoch_progress.current):
            epochs.processed = epochs.completed = epochs.started
        if batches.total.completed < batches.total.processed:
            batches.increment_completed()
            steps._batches_that_stepped += 1
        _Loop.restarting.fset(fit, False)  # type: ignore[attr-defined]  # FitLoop's own refuses
        fit.reset_restart_stage()
        steps.reset_restart_stage()
