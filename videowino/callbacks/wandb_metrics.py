"""`WandbMetrics`: what a run's summary holds: the best of each figure, and the configuration."""

from __future__ import annotations

import pytorch_lightning as pl
import yaml
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from videowino.training.run_folder import CONFIG
from videowino.training.wandb_run import STEP, check_wandb, folder_of, wandb_run

# Figures whose best is what counts, however the run goes on; others keep their last value.
_BEST = {
    "val/clip_*": "max",
    "val/video_*": "max",
    "val/loss": "min",
    "train/clip_*": "max",
    "train/loss_epoch": "min",
}


class WandbMetrics(pl.Callback):
    """Summaries of the best accuracy and loss, and the whole configuration, in a W&B run.

    Accuracy, loss, sparsity and speedup themselves are logged by the classifier and the callbacks
    that make them. A best accuracy may be that of an epoch in which more columns were left, so
    that of the network that training ends with is in the summary as well, as "final/...": where
    that was validated, with a warning where it was not.
    """

    def __init__(self) -> None:
        self._validated = -1  # the step of the last validation

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

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember what the figures are of."""
        if not trainer.sanity_checking:
            self._validated = trainer.global_step

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add what the trained network is like."""
        run = wandb_run(trainer)
        if run is None:
            return
        figures = {n: float(v) for n, v in trainer.callback_metrics.items() if n.startswith("val/")}
        if figures and self._validated != trainer.global_step:
            rank_zero_warn(
                f"WandbMetrics: the last validation was after step {self._validated} of "
                f"{trainer.global_step}, so the summary has no final/... of the network that "
                "training ends with; let check_val_every_n_epoch divide max_epochs"
            )
            return
        for name, value in figures.items():
            run.summary[f"final/{name.removeprefix('val/')}"] = value
