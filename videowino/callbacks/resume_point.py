"""`ResumePoint`: a resumed training goes on with the batch, or the epoch, that comes next."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loops.loop import _Loop

from videowino.data.position import epoch_is_over
from videowino.data.samplers import EvenBatches


class ResumePoint(pl.Callback):
    """Counts a restored epoch as over, or its batches as processes like these make them.

    Callbacks save before Lightning (2.6) has counted the step and the epoch. Behind an epoch's last
    step it makes up for that, but takes the next epoch for one that it restarts: its hooks are not
    called and its start is not counted, so that a checkpoint from its middle cannot be resumed
    from. Where `max_steps` says how long a training is, it restarts from every checkpoint, at an
    epoch's end too. Here the counts become those of an epoch's end, and what follows is no restart
    but a new epoch.

    In the middle of an epoch, processes of another number share its other clips, and what they have
    of them are the last batches of an epoch of their own.

    It comes before callbacks that ask for the epoch.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The counts are restored by now, and no epoch has begun."""
        fit: Any = trainer.fit_loop  # whose counts are declared with less than they have
        if epoch_is_over(fit):
            _begin_epoch(fit)
        elif fit.restarted_mid_epoch:
            _count_batches(trainer)


def _begin_epoch(fit: Any) -> None:
    steps, batches = fit.epoch_loop, fit.epoch_loop.batch_progress
    for epochs in (fit.epoch_progress.total, fit.epoch_progress.current):
        epochs.processed = epochs.completed = epochs.started
    if batches.total.completed < batches.total.processed:
        batches.increment_completed()
        steps._batches_that_stepped += 1
    _Loop.restarting.fset(fit, False)  # type: ignore[attr-defined]  # FitLoop's own refuses
    fit.reset_restart_stage()
    steps.reset_restart_stage()


def _count_batches(trainer: pl.Trainer) -> None:
    sampler = getattr(trainer.train_dataloader, "sampler", None)
    if not isinstance(sampler, EvenBatches):
        return
    current: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    open_ones = current.ready - current.completed  # the one that was being saved behind
    current.ready = current.started = current.processed = sampler.begun(trainer.current_epoch)
    current.completed = current.ready - open_ones
