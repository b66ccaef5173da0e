"""`SpeedupLogger`: measured time of the network against its dense self, while it is pruned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from videowino.fastest import in_fastest_form
from videowino.report import report
from videowino.timing import time_layers, time_models
from videowino.training.classifier import VideoClassifier
from videowino.training.run_folder import SPEEDUP
from videowino.training.run_logger import ContinuingWriter
from videowino.winograd import column_sparsity, winograd_layers

_FORM_SHARE = 0.1  # of the time to spend: what is spent on each network's choice of form


class SpeedupLogger(pl.Callback):
    """Times the network and each of its Winograd layers against the dense ones, in turns.

    Both networks are in the form that is their fastest (`videowino.fastest`), so that none is slow
    by accident.

    Every logger gets the whole network's figures (`speedup/...`), the run folder's speedup.csv one
    row a layer and measurement, and Weights & Biases the same as a table. Times are those of the
    layers as they run now, in training: medians of one clip of the training's size, with the
    process's threads. Training is not disturbed: no random numbers are drawn from its generators,
    no statistics change.

    Args:
        every_n_epochs: measure after every so many epochs, and when training ends; 0 measures only
            then.
        batch_size: clips in a measured forward pass.
        seconds: time to spend on the whole network, both ways together.
        seconds_a_layer: time to spend on each layer.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        every_n_epochs: int = 5,
        batch_size: int = 1,
        seconds: float = 2.0,
        seconds_a_layer: float = 0.2,
    ) -> None:
        for name, value, least in (
            ("every_n_epochs", every_n_epochs, 0),
            ("batch_size", batch_size, 1),
            ("seconds", seconds, 0),
            ("seconds_a_layer", seconds_a_layer, 0),
        ):
            if value < least:
                raise ValueError(f"{name}={value}: {least} or more")
        self.every_n_epochs = every_n_epochs
        self.batch_size = batch_size
        self.seconds = seconds
        self.seconds_a_layer = seconds_a_layer
        self._clip: tuple[int, ...] = ()
        self._epoch = 0
        self._measured = -1
        self._writer: ContinuingWriter | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say so if there is nothing to measure."""
        if not winograd_layers(pl_module):
            rank_zero_warn("SpeedupLogger: the network is dense, so there is no speedup to log")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Learn the size of a clip; the trainer's own epoch is the next one when training ends."""
        self._epoch = trainer.current_epoch
        self._clip = tuple(batch["clip"].shape[1:])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure, if it is time."""
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._log(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the network that training ends with."""
        if self._measured != trainer.global_step:
            self._log(trainer, pl_module)

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._measured = trainer.global_step
        folder = trainer.log_dir or trainer.default_root_dir  # which all processes ask for together
        if not self._clip or not winograd_layers(pl_module):
            return
        assert isinstance(pl_module, VideoClassifier)
        whole = pl_module.whole_network()
        if not trainer.is_global_zero:
            return
        with isolate_rng():
            like = next(p for p in whole.parameters() if p.is_floating_point())
            example = torch.randn(self.batch_size, *self._clip).to(like)
            network, layers = self.measure(pl_module, whole, example)
        step = max(0, trainer.global_step - 1)  # that of the epoch's other figures
        place = {"epoch": self._epoch, "step": step}
        for logger in trainer.loggers:
            logger.log_metrics(network, step=step)
            if isinstance(logger, WandbLogger):
                columns = [*place, *layers[0]]
                rows = [[*place.values(), *row.values()] for row in layers]
                logger.log_table("speedup/each_layer", columns=columns, data=rows)
        if trainer.loggers:
            self._write(folder, layers, place)

    def measure(
        self, classifier: VideoClassifier, model: nn.Module, example: Tensor
    ) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Times and counts of the network, and of each Winograd layer.

        Args:
            classifier: says what the dense network is.
            model: its network, whole, with Winograd layers.
            example: clips N C D H W.

        Returns:
            The network's figures by logged name, and one row a layer. Multiplications are those
            of a clip, and of the convolutions alone.
        """
        dense = classifier.dense_network().to(example)
        counted = report(model, example[:1])
        share = self.seconds * _FORM_SHARE
        both = {
            name: in_fastest_form(network, example, budget=share)[0]
            for name, network in (("dense", dense), ("winograd", model))
        }
        names = [layer.name for layer in counted.swapped]
        whole = time_models(both, example, budget=self.seconds)
        each = time_layers(both, example, names, budget=self.seconds_a_layer)
        network = {
            "speedup/network": whole["winograd"].speedup(whole["dense"]),
            "speedup/layers": _total(each, "dense") / _total(each, "winograd"),
            "speedup/ms": whole["winograd"].ms,
            "speedup/dense_ms": whole["dense"].ms,
            "speedup/columns_kept": 1 - column_sparsity(model),
            "speedup/multiplications": counted.multiplications,
            "speedup/dense_multiplications": counted.multiplications_dense,
        }
        layers = [
            {
                "layer": layer.name,
                "tile": layer.tile,
                "parameterization": layer.parameterization,
                "columns": layer.columns,
                "columns_kept": layer.columns_kept,
                "multiplications": layer.multiplications,
                "dense_multiplications": layer.multiplications_dense,
                "ms": each[layer.name]["winograd"].ms,
                "dense_ms": each[layer.name]["dense"].ms,
                "speedup": each[layer.name]["winograd"].speedup(each[layer.name]["dense"]),
            }
            for layer in counted.swapped
        ]
        return network, layers

    def _write(self, folder: str, layers: Iterable[dict[str, Any]], place: dict[str, int]) -> None:
        if self._writer is None:
            self._writer = ContinuingWriter(folder, SPEEDUP)
        for row in layers:
            self._writer.log_metrics({"epoch": place["epoch"], **row}, place["step"])
        self._writer.save()


def _total(each: dict[str, dict[str, Any]], name: str) -> float:
    return sum(times[name].ms for times in each.values())
