"""`FiniteSteps`: numbers stay numbers, or training stops and says where they ceased to be."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from videowino.cli import require
from videowino.training.diagnosis import first_not_finite
from videowino.training.processes import largest_of_processes
from videowino.training.say import say
from videowino.training.sharding import gradient_norm


class FiniteSteps(pl.Callback):
    """Skips steps whose loss or gradients are not finite, and stops after several in a row.

    A skipped step changes nothing: weights, momenta and the running statistics of batch norms stay
    as they were, in all processes alike. The learning rate and the pruning schedule go on. Where a
    gradient scaler is at work (float16), gradients beyond its range are its own affair, and only
    losses count here.

    Args:
        most: skipped steps in a row at which training stops. Three: one bad batch is an accident,
            three of them are a network that will not recover.

    Raises:
        ValueError: below 1.
    """

    def __init__(self, most: int = 3) -> None:
        require(most >= 1, f"most={most}: at least 1")
        self.most = most
        self.skipped = 0
        self._in_a_row = 0
        self._loss = torch.zeros(())  # largest of an accumulated step's, or not finite
        self._norms: list[tuple[Tensor, Tensor]] | None = None  # (statistic, as it was)

    def state_dict(self) -> dict[str, Any]:
        """How many steps were skipped."""
        return {"skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.skipped, self._in_a_row = state["skipped"], state["in_a_row"]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember the norms' statistics before the first batch of a step."""
        self._clip = batch["clip"]
        if self._norms is None:
            self._loss = torch.zeros((), device=pl_module.device)
            norms = [m for m in pl_module.modules() if isinstance(m, _BatchNorm)]
            self._norms = [(b, b.clone()) for norm in norms for b in norm.buffers()]

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Keep the loss, on its device: to look at it here would wait for it."""
        self._loss = torch.maximum(self._loss, loss.detach().abs())  # NaN if one of them is

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Skip the step if it would spoil the network.

        Raises:
            ValueError: it is one too many.
        """
        scaled = isinstance(trainer.precision_plugin, MixedPrecision) and (
            trainer.precision_plugin.scaler is not None
        )
        norms, self._norms = self._norms or [], None
        bad_loss = not bool(torch.isfinite(self._loss))
        bad = bad_loss
        if not scaled:
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            bad = not bool(torch.isfinite(gradient_norm(gradients))) or bad
        if not largest_of_processes(trainer, bad):
            self._in_a_row = 0
            return
        self.skipped += 1
        self._in_a_row += 1
        what = "loss" if bad_loss else "gradient"
        if self._in_a_row >= self.most:
            raise ValueError(self._farewell(trainer, pl_module, what))
        for statistic, before in norms:
            statistic.copy_(before)
        for parameter in pl_module.parameters():
            parameter.grad = None
        say(
            trainer,
            f"step {trainer.global_step}: the {what} is not finite; the step is skipped "
            f"({self._in_a_row} in a row, {self.most} stop the training)",
        )

    def _farewell(self, trainer: pl.Trainer, pl_module: pl.LightningModule, what: str) -> str:
        where = first_not_finite(trainer, pl_module, self._clip)
        found = f"The first that is not: {where}. " if where else ""
        return (
            f"step {trainer.global_step}: the {what} is not finite, {self._in_a_row} times in a "
            f"row, so training stops; the last checkpoint is as good as it was. {found}A lower "
            "model.lr, a longer model.warmup_epochs or trainer.gradient_clip_val may keep it finite"
        )
