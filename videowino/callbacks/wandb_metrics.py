"""`WandbMetrics`: what a run's summary holds: the best of each figure, and the configuration."""

from __future__ import annotations

import pytorch_lightning as pl
import yaml

from videowino.training.run_folder import CONFIG
from videowino.training.wandb_run import STEP, check_wandb, folder_of, wandb_run

# Figures whose best is what counts, however the run goes on; others keep their last value.
_BEST = {
    "val/clip_*": "max",
    "val/video_*": "max",
    "val/loss": "min",
    "train/clip_*": "max",
    "train/loss_epoch": "min",
    "test/clip_*": "max",
    "test/video_*": "max",
}


class WandbMetrics(pl.Callback):
    """Summaries of the best accuracy and loss, and the whole configuration, in a W&B run.

    Accuracy, loss, sparsity and speedup themselves are logged by the classifier and the callbacks
    that make them. A best accuracy may be that of an epoch in which more columns were left, so
    that of the network that training ends with is in the summary as well, as "final/...".
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Define the summaries."""
        check_wandb(trainer, self)
        run = wandb_run(trainer)
        if run is None:
            return
        for pattern, summary in _BEST.items():
            run.define_metric(pattern, step_metric=STEP, summary=summary)
        folder = folder_of(trainer)
        config = None if folder is None else folder / CONFIG
        if config is not None and config.is_file():
            run.config.update({"run": yaml.safe_load(config.read_text())}, allow_val_change=True)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add what the trained network is like."""
        run = wandb_run(trainer)
        if run is None:
            return
        for name, value in trainer.callback_metrics.items():
            if name.startswith("val/"):
                run.summary[f"final/{name.removeprefix('val/')}"] = float(value)
