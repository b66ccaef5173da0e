"""`WandbModel`: the trained network as an artifact of its W&B run."""

from __future__ import annotations

import pytorch_lightning as pl

from videowino.training.run_folder import CHECKPOINTS, CONFIG, LAST
from videowino.training.wandb_run import check_wandb, folder_of, wandb_run
from videowino.winograd import column_sparsity


class WandbModel(pl.Callback):
    """Logs the last checkpoint and config.yaml as an artifact, when training has ended."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say so if there is nowhere to log to."""
        check_wandb(trainer, self)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log it; checkpoints are written by now."""
        run = wandb_run(trainer)
        folder = folder_of(trainer)
        if run is None or folder is None:
            return
        checkpoint = folder / CHECKPOINTS / f"{LAST}.ckpt"
        if not checkpoint.is_file():
            return
        import wandb

        about = {"sparsity": column_sparsity(pl_module), "steps": trainer.global_step}
        artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=about)
        artifact.add_file(str(checkpoint))
        if (folder / CONFIG).is_file():
            artifact.add_file(str(folder / CONFIG))
        run.log_artifact(artifact, aliases=["latest", "final"])
