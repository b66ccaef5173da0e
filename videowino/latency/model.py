"""The time of a deployed network by its column masks, as a sum of measured parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from videowino.latency.cost import LayerCost
from videowino.latency.select import select_by_cost

_SLACK = 1.25  # by which costs, measured one by one and maybe on a busy machine, may be too high


@dataclass(frozen=True)
class LatencyModel:
    """Costs of a network on one machine.

    Attributes:
        costs: By Winograd layer.
        dense_ms: Of the dense network.
        rest_ms: Of the deployed network without its Winograd layers.
    """

    costs: dict[str, LayerCost]
    dense_ms: float
    rest_ms: float

    def ms(self, masks: Mapping[str, Tensor]) -> float:
        """Of the deployed network with these masks, (P,) bool by layer."""
        layers = sum(cost.ms(masks[name].cpu()) for name, cost in self.costs.items())
        return self.rest_ms + layers

    def select(
        self,
        scores: Mapping[str, Tensor],
        ms: float,
        kept: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Masks with which the deployed network takes so long.

        Args:
            scores: (P,) by layer.
            ms: Of the whole network.
            kept: (P,) bool by layer, what is left to choose from; all if None.
        """
        return select_by_cost(scores, self.costs, ms=ms - self.rest_ms, masks=kept)

    def check_reach(self, speedup: float, kept: Mapping[str, Tensor] | None = None) -> None:
        """Refuse a speedup that no masks give.

        Raises:
            ValueError: It is far above what the least of the columns gives.
        """
        if speedup <= 0:
            raise ValueError(f"speedup={speedup}: above 0")
        ones = {name: torch.ones(cost.columns) for name, cost in self.costs.items()}
        most = self.dense_ms / self.ms(select_by_cost(ones, self.costs, columns=0, masks=kept))
        if speedup > _SLACK * most:
            raise ValueError(
                f"speedup={speedup}: with a tenth of each layer's columns, the least that is "
                f"kept, this network is about {most:.1f}x as fast as the dense one here; ask for "
                "less, or swap more of its layers"
            )

    @property
    def state(self) -> dict[str, Any]:
        """In types that a checkpoint holds."""
        costs = {n: [*c.alpha, c.fixed, c.column, c.line] for n, c in self.costs.items()}
        return {"costs": costs, "dense_ms": self.dense_ms, "rest_ms": self.rest_ms}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> LatencyModel:
        """What `state` gave."""
        costs = {n: LayerCost((c[0], c[1], c[2]), *c[3:]) for n, c in state["costs"].items()}
        return cls(costs, state["dense_ms"], state["rest_ms"])
