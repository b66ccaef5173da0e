"""What columns cost on this machine, and the ones to keep for a speedup."""

from videowino.latency.cost import LayerCost
from videowino.latency.measure import measure_costs
from videowino.latency.model import LatencyModel
from videowino.latency.select import select_by_cost
from videowino.latency.speedup import (
    find_masks,
    measure_latency,
    measure_speedup,
    prune_to_speedup,
)

__all__ = [
    "LatencyModel",
    "LayerCost",
    "find_masks",
    "measure_costs",
    "measure_latency",
    "measure_speedup",
    "prune_to_speedup",
    "select_by_cost",
]
