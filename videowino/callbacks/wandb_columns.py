"""`WandbColumns`: which columns are left, and what they are worth, in a W&B run."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from videowino.cli import require
from videowino.plots.columns import columns_figure
from videowino.training.wandb_run import STEP, check_wandb, wandb_run
from videowino.winograd import column_sparsity, winograd_layers


class WandbColumns(pl.Callback):
    """Logs sparsity in all and of each layer, columns as cubes, and histograms of importance.

    Args:
        every_n_epochs: log after every so many epochs, and when training ends; 0 only then.

    Raises:
        ValueError: below 0.
    """

    def __init__(self, every_n_epochs: int = 1) -> None:
        require(every_n_epochs >= 0, f"every_n_epochs={every_n_epochs}: 0 or more")
        self.every_n_epochs = every_n_epochs
        self._logged = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say so if there is nowhere to log to."""
        check_wandb(trainer, self)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log, if it is time."""
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._log(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what training ends with."""
        if self._logged != trainer.global_step:
            self._log(trainer, pl_module)

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._logged = trainer.global_step
        run, layers = wandb_run(trainer), winograd_layers(pl_module)
        if run is None or not layers:
            return
        import wandb

        content: dict[str, Any] = {"columns/sparsity": column_sparsity(pl_module)}
        for name, layer in layers.items():
            name = name.removeprefix("model.")
            kept, scores = layer.column_mask, layer.scores("held")
            title = f"{name}: {layer.columns_multiplied:.4g} of {layer.columns}"
            content[f"sparsity/{name}"] = layer.column_sparsity
            content[f"columns/{name}"] = wandb.Image(
                columns_figure(kept, scores, layer.tile.alpha, title)
            )
            content[f"importance/{name}"] = wandb.Histogram(scores[kept].tolist())
        run.log(content | {STEP: max(0, trainer.global_step - 1)})
