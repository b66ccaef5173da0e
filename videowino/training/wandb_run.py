"""The Weights & Biases run of a training, where there is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

STEP = "trainer/global_step"  # the key by which Lightning's logger orders its figures


def settle_wandb(options: Any, folder: Path, goes_on: bool) -> None:
    """Put a configured logger's files into the run folder, and name its run after that.

    A run that goes on is one run there too.

    Args:
        options: of the WandbLogger.
        folder: the run's.
        goes_on: whether this continues what is in the folder.

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
    if options.get("name") is None and not os.environ.get("WANDB_NAME"):
        options.name = folder.resolve().name
    given = options.get("id") or options.get("version") or os.environ.get("WANDB_RUN_ID")
    if goes_on and not given:
        options.id = last_id(Path(options.save_dir))


def last_id(folder: Path) -> str | None:
    """That of the last run which wandb has kept in a folder; None where there is none."""
    found = sorted(path.name.partition("run-")[2] for path in folder.glob("wandb/*run-*-*"))
    return found[-1].partition("-")[2] if found else None


def is_wandb(logger: Any) -> bool:
    """Whether it is a WandbLogger's part of a configuration."""
    return getattr(logger, "class_path", "").endswith("WandbLogger")


def heed_wandb_mode(given: Any) -> Any:
    """Configured loggers, without W&B's where WANDB_MODE=disabled, which its `offline` undoes.

    It is not made at all then, so wandb need not be installed.

    Args:
        given: the Trainer's `logger`; one that is W&B's alone becomes True.
    """
    if not _disabled():
        return given
    if isinstance(given, list):
        return [logger for logger in given if not is_wandb(logger)]
    return True if is_wandb(given) else given


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
