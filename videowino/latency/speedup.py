"""Column masks by how fast the deployed network is to be, on this machine.

A time is that of the deployed network; a speedup that of the dense one, in the form in which
PyTorch runs it fastest, over it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass

from torch import Tensor, nn

from videowino.deployment import deploy
from videowino.fastest import in_fastest_form
from videowino.latency.measure import measure_costs, sample_masks
from videowino.latency.model import LatencyModel
from videowino.report import ConversionReport, report
from videowino.surgery import dense_like
from videowino.timing import Timing, time_models
from videowino.winograd import column_sparsity, winograd_layers

BUDGET = 0.5  # seconds to measure each shape of layers, and each network
TOLERANCE = 0.03  # of the speedup: about what a machine repeats
_TUNE = 0.05  # seconds for each geometry of a network to deploy
_TRIES = 5

Say = Callable[[str], object]


@dataclass(frozen=True)
class Found:
    """What a search ended with.

    Attributes:
        masks: (P,) bool by layer.
        speedup: Measured, of the deployed network with them.
    """

    masks: dict[str, Tensor]
    speedup: float


def measure_latency(
    model: nn.Module,
    dense: nn.Module,
    example: Tensor,
    *,
    budget: float = BUDGET,
    say: Say | None = None,
) -> LatencyModel:
    """Measure what a network's columns cost.

    Args:
        model: With Winograd layers; left as it is.
        dense: What it is compared with.
        example: What both are called with, N C D H W.
        budget: Seconds to measure each shape of layers, and each network.
        say: Called with what is being done.

    Raises:
        ValueError: The model has no Winograd layer, or does not call one.
    """
    say = say or _quiet
    say("measuring the layers")
    costs = measure_costs(model, example, budget=budget)
    halves = {name: sample_masks(cost.alpha)["0.5 scattered"] for name, cost in costs.items()}
    say("measuring the dense network and the deployed one")
    form, _ = in_fastest_form(dense, example, budget=budget)
    times = _time(model, form, halves, example, budget)
    layers = sum(cost.ms(halves[name]) for name, cost in costs.items())
    return LatencyModel(costs, times["dense"].ms, max(0.0, times["pruned"].ms - layers))


def measure_speedup(
    model: nn.Module,
    dense: nn.Module,
    example: Tensor,
    masks: Mapping[str, Tensor],
    *,
    budget: float = BUDGET,
) -> float:
    """How much faster than the dense network a network deployed with these masks is.

    Args:
        model: With Winograd layers; left as it is.
        dense: What it is compared with.
        example: What both are called with, N C D H W.
        masks: (P,) bool by layer.
        budget: Seconds to time each network.
    """
    form, _ = in_fastest_form(dense, example, budget=budget)
    return _speedup(_time(model, form, masks, example, budget))


def find_masks(
    model: nn.Module,
    dense: nn.Module,
    example: Tensor,
    latency: LatencyModel,
    scores: Mapping[str, Tensor],
    speedup: float,
    *,
    kept: Mapping[str, Tensor] | None = None,
    tolerance: float = TOLERANCE,
    budget: float = BUDGET,
    say: Say | None = None,
) -> Found:
    """Masks with which the deployed network is measured to be as fast as wanted.

    Columns and lines of columns go by the least importance for each millisecond saved
    (`select_by_cost`). The sum of layers and the rest is not quite the whole network, so what is
    found is deployed and timed, and the search goes on with what that says.

    Args:
        model: The network; left as it is.
        dense: What it is compared with.
        example: What both are called with, N C D H W.
        latency: As measured.
        scores: (P,) by layer.
        speedup: Over the dense network.
        kept: (P,) bool by layer, what is left to choose from; all if None.
        tolerance: Share of the speedup by which it may be missed.
        budget: Seconds to time each network that is tried.
        say: Called with what is being done.

    Returns:
        The masks that came nearest; all that are left where those are fast enough.
    """
    say = say or _quiet
    form, _ = in_fastest_form(dense, example, budget=budget)
    layers = winograd_layers(model)
    whole = kept or {name: layer.column_mask | True for name, layer in layers.items()}
    best: Found | None = None
    ms = latency.dense_ms / speedup
    for _ in range(_TRIES):
        masks = latency.select(scores, ms, kept)
        say(f"timing the network deployed with {_share(masks):.1%} of its columns")
        reached = _speedup(_time(model, form, masks, example, budget))
        if best is None or abs(reached - speedup) < abs(best.speedup - speedup):
            best = Found(masks, reached)
        if reached >= speedup and all(masks[name].equal(left) for name, left in whole.items()):
            say(f"{reached:.2f}x with all columns that are left: none has to go for {speedup:g}x")
            break
        if abs(reached / speedup - 1) <= tolerance:
            break
        ms *= reached / speedup
    assert best is not None
    return best


def prune_to_speedup(
    model: nn.Module,
    speedup: float,
    example: Tensor,
    *,
    score: str = "held",
    compensate: bool = True,
    dense: nn.Module | None = None,
    budget: float = BUDGET,
    say: Say | None = None,
) -> ConversionReport:
    """Set hard column masks with which the deployed network is as fast as wanted, in place.

    Pruned columns stay pruned.

    Args:
        model: With Winograd layers.
        speedup: Over the dense network in PyTorch's fastest form, on this machine, for the example
            and torch's present threads.
        example: A clip, or several, N C D H W.
        score: As of `videowino.prune`.
        compensate: As of `videowino.prune`.
        dense: What it is compared with; the model with ordinary convolutions if None.
        budget: Seconds to measure each shape of layers, and each network.
        say: Called with what is being done.

    Returns:
        The report; its title has the measured speedup.

    Raises:
        ValueError: No Winograd layer in the model, one pruned by blocks of channels, or the speedup
            is out of reach.
    """
    layers = winograd_layers(model)
    by_block = [name for name, layer in layers.items() if layer.block_mask is not None]
    if by_block:
        raise ValueError(
            f"speedup={speedup}: {by_block[0]} is pruned by blocks of channels, and whole columns "
            "are what is measured; start from the network before that, or use prune with a sparsity"
        )
    dense = dense_like(model) if dense is None else dense
    latency = measure_latency(model, dense, example, budget=budget, say=say)
    kept = {name: layer.column_mask for name, layer in layers.items()}
    latency.check_reach(speedup, kept)
    scores = {name: layer.scores(score) for name, layer in layers.items()}
    found = find_masks(
        model, dense, example, latency, scores, speedup, kept=kept, budget=budget, say=say
    )
    for name, layer in layers.items():
        layer.set_column_mask(found.masks[name], compensate)
    title = f"Pruned {column_sparsity(model):.1%} of the columns: {found.speedup:.2f}x deployed"
    return report(model, example=example, title=title)


def _time(
    model: nn.Module,
    form: nn.Module,
    masks: Mapping[str, Tensor],
    example: Tensor,
    budget: float,
) -> dict[str, Timing]:
    pruned = deepcopy(model)
    for name, layer in winograd_layers(pruned).items():
        layer.set_column_mask(masks[name].to(layer.column_mask.device), compensate=False)
    both = {"dense": form, "pruned": deploy(pruned, example, budget=_TUNE)}
    return time_models(both, example, budget=2 * budget)


def _speedup(times: Mapping[str, Timing]) -> float:
    return times["pruned"].speedup(times["dense"])


def _share(masks: Mapping[str, Tensor]) -> float:
    return sum(int(mask.sum()) for mask in masks.values()) / sum(map(len, masks.values()))


def _quiet(_: str) -> None:
    pass
