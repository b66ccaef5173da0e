"""`ColumnSparsity`: prunes Winograd columns while training, on a schedule."""

from __future__ import annotations

from typing import Any, Literal, get_args

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from videowino.cli import require
from videowino.training.length import length_of
from videowino.training.schedules import cubic_sparsity
from videowino.winograd import WinogradConv3d
from videowino.winograd.columns import Budget, column_sparsity, select_columns, winograd_layers
from videowino.winograd.scores import WEIGHT_SCORES, Score

Schedule = Literal["cubic", "one_shot"]
Unit = Literal["fraction", "epoch", "step"]


class ColumnSparsity(pl.Callback):
    """Dense warm-up, cubic ramp, then frozen masks and fine-tuning; or one cut.

    Up to `start` all columns train and their scores are gathered. From there to `end` the sparsity
    follows `cubic_sparsity`, and the columns with the lowest scores go every `every` steps. From
    `end` on the masks stay. With schedule one_shot everything goes at once at `start`. A column
    that has gone stays gone, with weights of zero and no momentum.

    A mask is set before a step's forward pass and is part of the layer's state, so a run resumed
    from any checkpoint goes on with the same masks and the same schedule.

    Args:
        sparsity: fraction of all columns to prune in the end.
        score: what a column is worth. taylor, the loss's first-order change without it, and
            factor, the factors' share of that, are gathered from the gradients of training;
            reconstruction and magnitude look at the weights.
        budget: uniform prunes every layer alike; global ranks the columns of all layers together.
        schedule: cubic or one_shot.
        start: when pruning starts, in `unit`.
        end: when the last columns go, in `unit`; must leave training steps for fine-tuning.
        unit: fraction of the training, epoch, or optimizer step.
        every: steps between two cuts of the ramp.
        momentum: share of the old score that is kept at each step.
        compensate: let the columns that stay make up for those that go
            (`videowino.winograd.compensation`).

    Raises:
        ValueError: an argument is out of range, or the schedule ends before it starts.
    """

    def __init__(
        self,
        sparsity: float = 0.5,
        score: Score = "taylor",
        budget: Budget = "uniform",
        schedule: Schedule = "cubic",
        start: float = 0.1,
        end: float = 0.6,
        unit: Unit = "fraction",
        every: int = 10,
        momentum: float = 0.9,
        compensate: bool = True,
    ) -> None:
        require(0 <= sparsity < 1, f"sparsity={sparsity}: from 0 to below 1")
        for name, value, choices in (
            ("score", score, Score),
            ("budget", budget, Budget),
            ("schedule", schedule, Schedule),
            ("unit", unit, Unit),
        ):
            known = get_args(choices)
            require(value in known, f"{name}={value!r}: one of {', '.join(known)}")
        require(start >= 0, f"start={start}: 0 or more")
        require(
            schedule == "one_shot" or end >= start,
            f"end={end}: the schedule ends before it starts (start={start})",
        )
        last = start if schedule == "one_shot" else end
        require(
            unit != "fraction" or last <= 1,
            f"{'start' if schedule == 'one_shot' else 'end'}={last}: a fraction of the training is "
            "at most 1; set unit to epoch or step for absolute times",
        )
        require(every >= 1, f"every={every}: at least 1")
        require(0 <= momentum < 1, f"momentum={momentum}: from 0 to below 1")
        self.sparsity = sparsity
        self.score = score
        self.budget = budget
        self.schedule = schedule
        self.start, self.end = start, last
        self.unit = unit
        self.every = every
        self.momentum = momentum
        self.compensate = compensate
        self._initial = 0.0
        self._done = -1  # the last step whose mask is set
        self._steps = (0, 0)

    def state_dict(self) -> dict[str, Any]:
        """What the layers' own masks and scores do not tell."""
        return {"initial": self._initial, "done": self._done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the schedule where the checkpoint left it."""
        self._initial, self._done = state["initial"], state["done"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Turn the schedule into optimizer steps.

        Raises:
            ValueError: the network has no Winograd layers, or the schedule outlasts the training.
        """
        layers = winograd_layers(pl_module)
        require(
            bool(layers),
            "ColumnSparsity prunes Winograd columns and the network has none; give "
            "model.winograd, for example --model.winograd.parameterization low_rank",
        )
        if self.score == "factor":
            without = [name for name, layer in layers.items() if layer.right is None]
            require(
                not without,
                f"score='factor' needs low_rank or factored layers, and {(without or [''])[0]} "
                "has no factors; use taylor",
            )
        if self._done < 0:
            self._initial = column_sparsity(pl_module)
            require(
                self._initial <= self.sparsity,
                f"sparsity={self.sparsity}: the network starts with {self._initial:.3f} of its "
                "columns pruned already",
            )
        self._steps = self._in_steps(trainer)
        if self._steps[1] == 0 and self.score not in WEIGHT_SCORES:
            rank_zero_warn(
                f"score={self.score!r} is made of gradients, and a cut at the first step leaves "
                "none to gather: columns go by magnitude"
            )

    def _in_steps(self, trainer: pl.Trainer) -> tuple[int, int]:
        length = length_of(trainer)
        total = length.total
        if self.unit == "epoch":
            start, end = length.steps(self.start), length.steps(self.end)
        else:
            scale = total if self.unit == "fraction" else 1
            start, end = round(self.start * scale), round(self.end * scale)
        require(
            length.dry or end <= total,
            f"end={self.end} ({self.unit}): the schedule ends after the training, which has "
            f"{length}",
        )
        last = max(0, total - 1)  # the pruned network trains for one step at least
        return min(start, last), min(end, last)

    def target(self, step: int) -> float:
        """The sparsity that the schedule wants at an optimizer step."""
        start, end = self._steps
        if self.schedule == "one_shot":
            return self.sparsity if step >= start else self._initial
        return cubic_sparsity(step, start, end, self.sparsity, self._initial)

    def _is_due(self, step: int) -> bool:
        start, end = self._steps
        if self.schedule == "one_shot" or step == end:
            return step == end
        return start < step < end and (step - start) % self.every == 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Cut, if the schedule says so before this step."""
        step = trainer.global_step
        if step <= self._done:  # a later part of an accumulated batch, or done before a resume
            return
        self._done = step
        if self._is_due(step):
            prune_columns(
                pl_module,
                self.target(step),
                score=self.score,
                budget=self.budget,
                compensate=self.compensate,
                optimizers=trainer.optimizers,
            )

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Gather scores, as long as columns are to go."""
        if self.score in WEIGHT_SCORES or trainer.global_step >= self._steps[1]:
            return
        for layer in winograd_layers(pl_module).values():
            layer.accumulate_scores(self.score, self.momentum)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log the sparsity that the step was taken with."""
        pl_module.log("column_sparsity", column_sparsity(pl_module), on_step=True, on_epoch=False)


def prune_columns(
    model: nn.Module,
    sparsity: float,
    *,
    score: str,
    budget: str,
    compensate: bool,
    optimizers: list[Optimizer],
) -> None:
    """Prune further, never bringing a column back, and clear what would move pruned weights.

    Args:
        model: has Winograd layers.
        sparsity: fraction of their columns to be pruned after this.
        score: see `ColumnSparsity`; a score of gradients of which none is held yet is magnitude.
        budget: see `select_columns`.
        compensate: see `WinogradConv3d.set_column_mask`.
        optimizers: those that train the model.
    """
    layers = winograd_layers(model)
    scores = {}
    for name, layer in layers.items():
        held = layer.scores(score if score in WEIGHT_SCORES else "held")
        scores[name] = held.masked_fill(~layer.column_mask, -1.0)  # below any score
    for name, mask in select_columns(scores, sparsity, budget).items():
        layer = layers[name]
        mask = mask & layer.column_mask
        if not torch.equal(mask, layer.column_mask):
            layer.set_column_mask(mask, compensate)
            _still(layer, ~mask, optimizers)


@torch.no_grad()
def _still(layer: WinogradConv3d, pruned: Tensor, optimizers: list[Optimizer]) -> None:
    """Zero what belongs to pruned columns alone, and its momentum: nothing moves it any more.

    Masked columns have no gradient, but momentum and weight decay would go on changing them.
    """
    owned = [layer.gate] if layer.right is None else [layer.gate, layer.right]
    if layer.parameterization == "vanilla":
        assert isinstance(layer.weight, nn.Parameter)
        owned.append(layer.weight)
    for parameter in owned:
        if parameter is not layer.gate:
            parameter[..., pruned] = 0.0
        for optimizer in optimizers:
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value[..., pruned] = 0.0
