"""The Weights & Biases run of a training, where there is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

STEP = "trainer/global_step"  # the key by which Lightning's logger orders its figures


def settle_wandb(options: Any, folder: Path) -> None:
    """Put a configured logger's files into the run folder.

    Args:
        options: of the WandbLogger.
        folder: the run's.

    Raises:
        ValueError: wandb is not installed.
    """
    try:
        import wandb  # noqa: F401
    except ImportError:
        raise ValueError(
            "trainer.logger: WandbLogger needs wandb, which is not installed; "
            '`pip install ".[wandb]"` brings it'
        ) from None
    if options.get("save_dir") == ".":
        options.save_dir = str(folder)


def heed_wandb_mode(loggers: list[Logger]) -> list[Logger]:
    """The loggers, without W&B's where WANDB_MODE=disabled, which its `offline` undoes.

    The configuration keeps it: whoever goes on with the run without WANDB_MODE has it again.
    """
    return [logger for logger in loggers if not (_disabled() and isinstance(logger, WandbLogger))]


def _disabled() -> bool:
    return os.environ.get("WANDB_MODE") == "disabled"


def wandb_run(trainer: pl.Trainer) -> Any:
    """The run, in the first process; None in others and without a WandbLogger."""
    if not trainer.is_global_zero:
        return None
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            return logger.experiment
    return None


def folder_of(trainer: pl.Trainer) -> Path | None:
    """The run folder, by where its checkpoints go; None where there are none."""
    checkpoints = getattr(trainer.checkpoint_callback, "dirpath", None)
    return None if checkpoints is None else Path(checkpoints).parent


def check_wandb(trainer: pl.Trainer, callback: pl.Callback) -> None:
    """Say, once, that a callback has nowhere to write to."""
    if not _disabled() and not any(isinstance(logger, WandbLogger) for logger in trainer.loggers):
        rank_zero_warn(
            f"{type(callback).__name__}: no WandbLogger is configured, so it logs nothing; add "
            "configs/overlay/wandb.yaml"
        )
