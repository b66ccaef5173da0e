"""`ColumnSparsity`: prunes Winograd columns while training, on a schedule."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer

from videowino.cli import require
from videowino.training.column_cuts import exchange, masks_for, scores_of, set_masks
from videowino.training.column_options import Budget, Schedule, Unit, check_options, chosen
from videowino.training.length import length_of
from videowino.training.same_masks import check_same_masks
from videowino.training.schedules import cubic_sparsity, regrow_share
from videowino.training.time_budget import TimeBudget
from videowino.winograd import winograd_layers
from videowino.winograd.blocks import Granularity
from videowino.winograd.columns import column_sparsity
from videowino.winograd.probe import ColumnProbe
from videowino.winograd.scores import WEIGHT_SCORES, Score

_PROBED = 3  # steps before a cut in which pruned columns are probed: one alone is noise


class ColumnSparsity(pl.Callback):
    """Dense warm-up, cubic ramp, then frozen masks and fine-tuning; or one cut.

    Up to `start` all columns train and their scores are gathered. From there to `end` the sparsity
    follows `cubic_sparsity`, and the columns with the lowest scores go every `every` steps. From
    `end` on the masks stay. With schedule one_shot everything goes at once at `start`. A column
    that has gone stays gone, with weights of zero and no momentum.

    With schedule regrow, at each cut of the ramp pruned columns come back in the place of kept ones
    that are worth less by now: before it, some steps compute all columns to learn what the pruned
    ones would be worth (`ColumnProbe`). Fewer may come back from cut to cut (`regrow_share`).

    With `speedup`, the ramp is one of milliseconds, down to those with which the deployed network
    is so much faster than the dense one on this machine. What columns cost is measured at the first
    cut, and held against networks deployed and timed on the way (`TimeBudget`); at the last one
    they are timed until one is as fast as wanted.

    A mask is set before a step's forward pass and is part of the layer's state, so a run resumed
    from any checkpoint goes on with the same masks and the same schedule.

    Args:
        sparsity: fraction of all columns to prune in the end; half if there is no `speedup`.
        speedup: of the deployed network over the dense one at batch 1, instead of a sparsity.
        score: what a column is worth. taylor, the loss's first-order change without it, and
            factor, the factors' share of that, are gathered from the gradients of training;
            reconstruction and magnitude look at the weights.
        budget: uniform prunes every layer alike; global ranks the columns of all layers together;
            time ranks them by score for each measured millisecond, whole lines of columns too,
            without which transforms are shorter (`select_by_cost`). A `speedup` takes time.
        schedule: cubic, one_shot or regrow.
        start: when pruning starts, in `unit`.
        end: when the last columns go, in `unit`; must leave training steps for fine-tuning.
        unit: fraction of the training, epoch, or optimizer step.
        every: steps between two cuts of the ramp.
        momentum: share of the old score that is kept at each step.
        compensate: let the columns that stay make up for those that go
            (`videowino.winograd.compensation`).
        regrow: share of a layer's pruned columns that may come back at the first cut.
        granularity: column prunes whole columns; block prunes each of them by blocks of 16 input
            channels, for budgets uniform and global and schedules cubic and one_shot: the sparsity
            is then a share of all blocks, and each block makes up for its own.

    Raises:
        ValueError: an argument is out of range, two do not go together, or the schedule ends before
            it starts.
    """

    def __init__(
        self,
        sparsity: float | None = None,
        speedup: float | None = None,
        score: Score = "taylor",
        budget: Budget | None = None,
        schedule: Schedule = "cubic",
        start: float = 0.1,
        end: float = 0.6,
        unit: Unit = "fraction",
        every: int = 10,
        momentum: float = 0.9,
        compensate: bool = True,
        regrow: float = 0.3,
        granularity: Granularity = "column",
    ) -> None:
        sparsity, budget = chosen(sparsity, speedup, budget)
        check_options(
            sparsity=sparsity,
            speedup=speedup,
            score=score,
            budget=budget,
            schedule=schedule,
            start=start,
            end=end,
            unit=unit,
            every=every,
            momentum=momentum,
            regrow=regrow,
            granularity=granularity,
        )
        self.sparsity = sparsity
        self.speedup = speedup
        self.score = score
        self.budget = budget
        self.schedule = schedule
        self.start, self.end = start, start if schedule == "one_shot" else end
        self.unit = unit
        self.every = every
        self.momentum = momentum
        self.compensate = compensate
        self.regrow = regrow if schedule == "regrow" else 0.0
        self.granularity = granularity
        self._time = TimeBudget(speedup)
        self._initial = 0.0
        self._done = -1  # the last step whose mask is set
        self._steps = (0, 0)

    def state_dict(self) -> dict[str, Any]:
        """What the layers' own masks and scores do not tell."""
        return {"initial": self._initial, "done": self._done, "time": self._time.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the schedule where the checkpoint left it."""
        self._initial, self._done = state["initial"], state["done"]
        self._time.load(state.get("time"))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Turn the schedule into optimizer steps.

        Raises:
            ValueError: the network has no Winograd layers, or not those that score or schedule
                need, or the schedule outlasts the training.
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
        if self.regrow and self.compensate:
            given = [n for n, m in layers.items() if m.parameterization in ("vanilla", "factored")]
            require(
                not given,
                f"schedule='regrow' with compensate: {(given or [''])[0]} is "
                "vanilla or factored, whose pruned columns give their weights to the others and "
                "have none to come back with; set compensate to false",
            )
        by_block = [name for name, layer in layers.items() if layer.block_mask is not None]
        require(
            self.granularity == "block" or not by_block,
            f"granularity='column': {(by_block or [''])[0]} is pruned by blocks of channels, which "
            "would come back; use granularity block",
        )
        if self._done < 0:
            self._initial = column_sparsity(pl_module, self.granularity)
            require(
                self.speedup is not None or self._initial <= self.sparsity,
                f"sparsity={self.sparsity}: the network starts with {self._initial:.3f} of its "
                "columns pruned already",
            )
        self._steps = self._in_steps(trainer)
        if self._scores_blocks(trainer.global_step):
            for layer in layers.values():
                layer.score_blocks()
        if self._steps[1] == 0 and self.score not in WEIGHT_SCORES:
            rank_zero_warn(
                f"score={self.score!r} is made of gradients, and a cut at the first step leaves "
                "none to gather: columns go by magnitude"
            )

    def _scores_blocks(self, step: int) -> bool:
        gradients = self.score not in WEIGHT_SCORES
        return self.granularity == "block" and gradients and step < self._steps[1]

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
        return self._initial + (self.sparsity - self._initial) * self._progress(step)

    def _progress(self, step: int) -> float:
        """How far the ramp is, 0 to 1."""
        start, end = self._steps
        if self.schedule == "one_shot":
            return float(step >= start)
        return cubic_sparsity(step, start, end, 1.0)

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
            self._cut(trainer, pl_module, batch["clip"][:1])
        if self.regrow and any(map(self._is_due, range(step + 1, step + 1 + _PROBED))):
            for layer in winograd_layers(pl_module).values():
                layer.probe = layer.probe or ColumnProbe(layer)

    def _cut(self, trainer: pl.Trainer, pl_module: pl.LightningModule, example: Tensor) -> None:
        step = trainer.global_step
        layers = winograd_layers(pl_module)
        if self.budget == "time":
            self._time.measure(trainer, pl_module, example)
        if self.speedup is not None:
            last = step == self._steps[1]
            scores = scores_of(layers, self.score)
            masks = self._time.masks(
                trainer, pl_module, example, scores, self._progress(step), last
            )
        else:
            masks = masks_for(
                layers,
                self.target(step),
                score=self.score,
                budget=self.budget,
                granularity=self.granularity,
                costs=self._time.costs,
            )
        if self.regrow:
            share = regrow_share(step, *self._steps, self.regrow)
            masks = exchange(layers, masks, self._probed(trainer, pl_module), share)
        set_masks(
            layers,
            masks,
            compensate=self.compensate,
            optimizers=trainer.optimizers,
            keep_weights=bool(self.regrow) and not self.compensate,
        )
        check_same_masks(trainer, layers)
        if not self._scores_blocks(step):
            for layer in layers.values():
                layer.score_blocks(False)

    def _probed(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Tensor]:
        """What pruned columns would be worth, the same in all processes; ends the probes."""
        found = {}
        for name, layer in winograd_layers(pl_module).items():
            probe, layer.probe = layer.probe, None
            worth = torch.zeros_like(layer.column_score) if probe is None else probe.scores
            found[name] = trainer.strategy.reduce(worth.to(layer.column_score), reduce_op="mean")
        return found

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Gather scores, as long as columns are to go."""
        if self.score in WEIGHT_SCORES or trainer.global_step >= self._steps[1]:
            return
        layers = winograd_layers(pl_module).values()
        if all(parameter.grad is None for parameter in pl_module.parameters()):
            for layer in layers:  # of a step that another callback skips, what it left behind
                layer.drop_gradients()
            return
        for layer in layers:
            gate = layer.block_gate
            if gate is not None and gate.grad is not None:  # no parameter: nobody else does this
                gate.grad = trainer.strategy.reduce(gate.grad, reduce_op="mean")
            layer.accumulate_scores(self.score, self.momentum)
            if layer.probe is not None:
                layer.probe.gather()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave no gates by block, where training ended before the last cut."""
        for layer in winograd_layers(pl_module).values():
            layer.score_blocks(False)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log the sparsity that the step was taken with."""
        sparsity = column_sparsity(pl_module, self.granularity)
        pl_module.log("column_sparsity", sparsity, on_step=True, on_epoch=False)
