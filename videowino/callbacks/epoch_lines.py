"""One line an epoch, which stays when the progress bar has gone."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl

from videowino.training.say import say


class EpochLines(pl.Callback):
    """Prints epoch, seconds, loss, accuracy and column sparsity after each training epoch."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line; validation has run by now."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        seconds = time.monotonic() - self._start
        line = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs or '?'}  {seconds:.1f} s"
        for name, value in self._figures(trainer.callback_metrics).items():
            line += f"  {name} {value:.3f}"
        say(trainer, line)

    @staticmethod
    def _figures(metrics: dict[str, Any]) -> dict[str, float]:
        shown = ("train/loss_epoch", "train/clip_top1", "val/loss", "val/video_top1")
        figures = {name: float(metrics[name]) for name in shown if name in metrics}
        if sparsity := float(metrics.get("column_sparsity", 0.0)):
            figures["column_sparsity"] = sparsity
        return figures
