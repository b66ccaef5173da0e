"""The callbacks that every training of `train.py` has."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint

from videowino.callbacks.clean_stop import CleanStop
from videowino.callbacks.epoch_lines import EpochLines
from videowino.callbacks.epoch_seed import EpochSeed
from videowino.callbacks.resume_point import ResumePoint
from videowino.cli import require
from videowino.training.run_folder import CHECKPOINTS, LAST


def standard_callbacks(
    run: Path,
    options: dict[str, Any],
    *,
    writes: bool,
    seed: int | bool,
    checkpoint_every: int | None,
) -> list[pl.Callback]:
    """Lines, seeds, rates, checkpoints and clean stops of a training.

    Args:
        run: its folder.
        options: of the Trainer.
        writes: whether there is anything to write to the folder.
        seed: of the run; False for none.
        checkpoint_every: steps; None writes one after each epoch alone.

    Raises:
        ValueError: checkpoint_every is below 1.
    """
    callbacks: list[pl.Callback] = [ResumePoint(), EpochLines()]
    if seed is not False:
        callbacks.append(EpochSeed(int(seed)))
    if writes and options["logger"] is not False:
        callbacks.append(LearningRateMonitor(logging_interval="step"))
    saves = writes and options["enable_checkpointing"] is not False
    file = run / CHECKPOINTS / f"{LAST}.ckpt"
    go_on = f"python train.py fit --run {shlex.quote(str(run))} --ckpt_path last"
    callbacks.append(CleanStop(file if saves else None, go_on))
    if not saves:
        return callbacks
    last: dict[str, Any] = dict(
        dirpath=run / CHECKPOINTS,
        filename=LAST,
        enable_version_counter=False,  # the one file, over and over
    )
    callbacks.append(ModelCheckpoint(**last, save_on_train_epoch_end=True))
    if checkpoint_every is not None:
        require(checkpoint_every >= 1, f"checkpoint_every={checkpoint_every}: at least 1")
        callbacks.append(ModelCheckpoint(**last, every_n_train_steps=checkpoint_every))
    return callbacks
