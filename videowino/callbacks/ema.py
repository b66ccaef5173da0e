"""`EMA`: an exponential moving average of the weights that follows column masks."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from videowino.training.fully_sharded import FullySharded
from videowino.training.sharding import own
from videowino.winograd import winograd_layers


class EMA(WeightAveraging):
    """Averages the weights while training; validates, saves and ends with the average.

    Lightning's `WeightAveraging` with the state of this project's layers looked after: parameters
    and the running statistics of norms are averaged; column masks are set on the averaged network
    too, so that its kept columns make up for the pruned ones as the trained network's do; scores
    and counters are copied; and the frozen filters of low_rank layers, which never change, are
    one tensor for both, and so once in a checkpoint. The average is float32 where the network
    trains in sixteen bits, which would lose what a step adds to it.

    Args:
        decay: share of the old average that is kept at each step. The average reaches back about
            1 / (1 - decay) steps: less than the fine-tuning after the last cut, ideally.
        start: share of the training before averaging begins; until then the average is the
            network itself.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, decay: float = 0.99, start: float = 0.0) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: from 0 to below 1")
        if not 0 <= start < 1:
            raise ValueError(f"start={start}: a share of the training, from 0 to below 1")
        # Buffers are followed by name below: averaging a mask would be neither mask.
        super().__init__(use_buffers=False, avg_fn=_unused)
        self.decay = decay
        self.start = start
        self._first_step = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring the average to the network's device, and share what is frozen."""
        average = self._average
        average.to(pl_module.device)
        if isinstance(trainer.strategy, FullySharded):
            trainer.strategy.shard(average)
        theirs = winograd_layers(pl_module)
        for name, layer in winograd_layers(average).items():
            if layer.parameterization != "low_rank":
                continue
            frozen, held = theirs[name]._buffers["weight"], layer._buffers["weight"]
            if frozen is not None and held is not None and frozen.dtype == held.dtype:
                layer._buffers["weight"] = frozen

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the first step that is averaged."""
        self._first_step = round(self.start * int(trainer.estimated_stepping_batches))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Update the average after each optimizer step."""
        if trainer.global_step <= self._latest_update_step:
            return
        self._latest_update_step = trainer.global_step
        decay = self.decay if trainer.global_step > max(1, self._first_step) else 0.0
        self._follow_masks(pl_module)
        update_average(self._average, pl_module, decay)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing: steps are what is averaged."""

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the average in the network's place."""
        if self._average_model is not None:
            self._follow_masks(pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average in the network."""
        self._follow_masks(pl_module)
        super().on_train_end(trainer, pl_module)

    def _follow_masks(self, pl_module: nn.Module) -> None:
        theirs = winograd_layers(pl_module)
        for name, layer in winograd_layers(self._average).items():
            if not torch.equal(layer.kept_by_block(), theirs[name].kept_by_block()):
                layer.set_mask(theirs[name].mask, bool(theirs[name].compensated))
            held = theirs[name].block_score
            layer.block_score = None if held is None else held.clone()

    @property
    def _average(self) -> nn.Module:
        assert self._average_model is not None
        return self._average_model.module


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move an averaged network towards the network; column masks must be equal already.

    Args:
        average: the averaged network.
        model: the network, of the same modules.
        decay: share of the average that stays; 0 copies.
    """
    for ours, theirs in zip(average.parameters(), model.parameters(), strict=True):
        own(ours).lerp_(own(theirs).to(ours.dtype), 1 - decay)
    for mine, other in zip(average.modules(), model.modules(), strict=True):
        for name, buffer in mine.named_buffers(recurse=False):
            source: Tensor = getattr(other, name)
            if buffer is source:  # a frozen filter
                continue
            if isinstance(mine, _BatchNorm) and buffer.is_floating_point():
                buffer.lerp_(source.to(buffer.dtype), 1 - decay)
            else:
                buffer.copy_(source)


def _unused(*_: Any) -> Tensor:
    raise AssertionError("EMA updates its average itself")
