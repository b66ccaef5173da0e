"""Loggers and plugins of a run's Trainer, beside what its configuration says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.plugins.layer_sync import LayerSync

from videowino.training.callback_options import as_list
from videowino.training.checkpoint_file import CheckpointFiles
from videowino.training.run_logger import RunLogger
from videowino.training.sync_batch_norm import SyncedOnCPU


def loggers(folder: Path, given: Any) -> Any:
    """That of the run folder, and those of the configuration; False where it wants none."""
    if given is False:
        return False
    return [RunLogger(folder), *([] if given is True else as_list(given))]


def plugins(options: dict[str, Any]) -> list[Any]:
    """Those of the configuration, and ours for what it leaves open.

    Args:
        options: of the Trainer.
    """
    given, own = as_list(options["plugins"]), list[Any]()
    if not any(isinstance(plugin, CheckpointIO) for plugin in given):
        own.append(CheckpointFiles())
    on_cpu = options["accelerator"] == "cpu" or (
        options["accelerator"] == "auto" and not torch.cuda.is_available()
    )
    if options["sync_batchnorm"] and on_cpu:
        if not any(isinstance(plugin, LayerSync) for plugin in given):
            own.append(SyncedOnCPU())
    return [*given, *own]
