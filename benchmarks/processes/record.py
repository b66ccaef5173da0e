"""What a process of a training tells: losses, times and masks."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from videowino.training.same_masks import checksum
from videowino.winograd import winograd_layers


class Record(pl.Callback):
    """Writes a JSON file when training ends, a process each.

    Args:
        path: the file, less the process's number and the suffix.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.losses: list[float] = []
        self.times: list[float] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Note the loss over all processes' clips, and the time."""
        loss = trainer.strategy.reduce(outputs["loss"].detach().clone(), reduce_op="mean")
        self.losses.append(float(loss))
        self.times.append(time.perf_counter())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write."""
        masks = {name: checksum(layer.mask) for name, layer in winograd_layers(pl_module).items()}
        content = {"losses": self.losses, "times": self.times, "masks": masks}
        Path(f"{self.path}{trainer.global_rank}.json").write_text(json.dumps(content))
