"""What columns cost in a training, and the columns that reach a speedup."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from videowino.latency import (
    LatencyModel,
    LayerCost,
    find_masks,
    measure_latency,
    measure_speedup,
)
from videowino.latency.speedup import Found
from videowino.training.classifier import VideoClassifier
from videowino.training.say import say
from videowino.winograd import winograd_layers

_FAR = 0.1  # of the speedup: what a search that was not disturbed never misses it by
_STEP = 0.05  # of the time: how much shorter it has to be for the network to be timed again
_PREFIX = "model."  # of a classifier's layers, which a callback sees, before those of its network
T = TypeVar("T")


class TimeBudget:
    """Measures in the first process, for all: masks must be the same in each.

    Costs are measured once, and on the way down to a speedup what they say is held against networks
    deployed and timed. Columns do not come back, so the way goes by the fastest that these turned
    out, and what is missing is left to the last cut.

    Args:
        speedup: of the deployed network over the dense one; None where costs alone are wanted.
    """

    def __init__(self, speedup: float | None) -> None:
        self.speedup = speedup
        self._latency: LatencyModel | None = None
        self._faster = 1.0  # than costs say, a deployed network at most so far
        self._timed = math.inf  # what costs say of the last network timed, in milliseconds
        self._took = False  # a column, so far

    @property
    def state(self) -> dict[str, Any] | None:
        """For a checkpoint: a run that goes on has the same costs."""
        if self._latency is None:
            return None
        own = {"faster": self._faster, "timed": self._timed, "took": self._took}
        return {**self._latency.state, **own}

    def load(self, state: Mapping[str, Any] | None) -> None:
        """Take up what `state` gave."""
        self._latency = None if state is None else LatencyModel.of(state)
        own = state or {}
        self._faster, self._timed = own.get("faster", 1.0), own.get("timed", math.inf)
        self._took = own.get("took", False)

    @property
    def costs(self) -> dict[str, LayerCost] | None:
        """By layer of the classifier, once measured."""
        if self._latency is None:
            return None
        return {_PREFIX + name: cost for name, cost in self._latency.costs.items()}

    def measure(self, trainer: pl.Trainer, classifier: pl.LightningModule, example: Tensor) -> None:
        """Measure, unless that is done.

        Raises:
            ValueError: the speedup is out of reach.
        """
        if self._latency is not None:
            return
        assert isinstance(classifier, VideoClassifier)
        say(trainer, "ColumnSparsity: measuring what columns cost (once)")
        state = _in_first(
            trainer,
            classifier,
            example,
            lambda own, dense: measure_latency(own, dense, example).state,
        )
        self._latency = LatencyModel.of(state)
        if self.speedup is not None:
            kept = {n: m.column_mask for n, m in winograd_layers(classifier.model).items()}
            self._latency.check_reach(self.speedup, kept)

    def masks(
        self,
        trainer: pl.Trainer,
        classifier: pl.LightningModule,
        example: Tensor,
        scores: Mapping[str, Tensor],
        progress: float,
        last: bool,
    ) -> dict[str, Tensor]:
        """Masks on the way to the speedup, bringing no column back.

        Args:
            trainer: of the classifier.
            classifier: with Winograd layers.
            example: a clip, 1 C D H W.
            scores: (P,) by layer.
            progress: share of the way in milliseconds, 0 to 1.
            last: deploy and time, as this is what stays.
        """
        assert isinstance(classifier, VideoClassifier) and self._latency is not None
        assert self.speedup is not None
        layers = winograd_layers(classifier.model)
        own = {name: scores[_PREFIX + name] for name in layers}
        kept = {name: layer.column_mask for name, layer in layers.items()}
        if last:
            masks = self._last_cut(trainer, classifier, example, own, kept)
        else:
            masks = self._on_the_way(own, kept, progress)
            if self._latency.ms(masks) < (1 - _STEP) * self._timed:
                self._time(trainer, classifier, example, masks)
                masks = self._on_the_way(own, kept, progress)
            self._took = self._took or _differ(masks, kept)
        return {_PREFIX + n: m.to(layers[n].column_mask.device) for n, m in masks.items()}

    def _on_the_way(
        self, scores: Mapping[str, Tensor], kept: Mapping[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        assert self._latency is not None and self.speedup is not None
        whole = self._latency.ms({name: mask | True for name, mask in kept.items()})
        end = self._latency.dense_ms * self._faster / self.speedup
        return self._latency.select(scores, whole + progress * min(0.0, end - whole), kept)

    def _time(
        self,
        trainer: pl.Trainer,
        classifier: VideoClassifier,
        example: Tensor,
        masks: Mapping[str, Tensor],
    ) -> None:
        """Learn how much faster than costs say the network is with these masks."""
        assert self._latency is not None
        self._timed = self._latency.ms(masks)
        speedup = _in_first(
            trainer,
            classifier,
            example,
            lambda own, dense: measure_speedup(own, dense, example, masks),
        )
        self._faster = max(self._faster, speedup * self._timed / self._latency.dense_ms)

    def _last_cut(
        self,
        trainer: pl.Trainer,
        classifier: VideoClassifier,
        example: Tensor,
        scores: Mapping[str, Tensor],
        kept: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Masks that are deployed and timed, as they are what stays."""
        latency, speedup = self._latency, self.speedup
        assert latency is not None and speedup is not None

        def find(model: nn.Module, dense: nn.Module) -> Found:
            found = find_masks(model, dense, example, latency, scores, speedup, kept=kept)
            return replace(found, masks={name: mask.cpu() for name, mask in found.masks.items()})

        found = _in_first(trainer, classifier, example, find)
        kept_share = sum(int(m.sum()) for m in found.masks.values()) / sum(map(len, kept.values()))
        say(
            trainer,
            f"ColumnSparsity: {found.speedup:.2f}x deployed, {speedup:g}x wanted, "
            f"with {kept_share:.0%} of the columns",
        )
        took = self._took or _differ(found.masks, kept)
        off = found.speedup / speedup - 1
        if off < -_FAR or (took and off > _FAR):
            rank_zero_warn(
                f"speedup={speedup:g} is missed: the deployed network is measured "
                f"{found.speedup:.2f}x as fast as the dense one; was the machine busy?"
            )
        return found.masks


def _in_first(
    trainer: pl.Trainer,
    classifier: VideoClassifier,
    example: Tensor,
    measure: Callable[[nn.Module, nn.Module], T],
) -> T:
    """What is measured of the network and the dense one in the first process, in all of them."""
    network = classifier.whole_network()
    found: Any = None
    if trainer.is_global_zero:
        with isolate_rng():
            found = measure(network, classifier.dense_network().to(example))
    return trainer.strategy.broadcast(found)


def _differ(masks: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> bool:
    return any(not mask.cpu().equal(kept[name].cpu()) for name, mask in masks.items())
