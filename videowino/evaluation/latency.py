"""Measured milliseconds a clip, of networks side by side and of their Winograd layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from videowino.timing import Timing, time_layers, time_models

CHANNELS_FIRST, CHANNELS_LAST = "channels first", "channels last"


@dataclass(frozen=True)
class Latency:
    """Times at one batch size.

    Attributes:
        batch_size: clips in a forward pass.
        networks: name -> time of one forward pass.
        layers: layer -> {name -> time of its part of one forward pass}.
    """

    batch_size: int
    networks: dict[str, Timing]
    layers: dict[str, dict[str, Timing]] = field(default_factory=dict)

    def ms_per_clip(self, name: str) -> float:
        """Median milliseconds a clip of a network."""
        return self.networks[name].ms / self.batch_size

    def iqr_ms_per_clip(self, name: str) -> float:
        """Inter-quartile range of that."""
        return self.networks[name].iqr_ms / self.batch_size

    def speedup(self, name: str, baseline: str) -> float:
        """How many times faster than `baseline`, both measured here; below 1 is slower."""
        return self.networks[name].speedup(self.networks[baseline])


def in_fastest_layout(
    model: nn.Module, clip: Tensor, *, threads: int | None = None
) -> tuple[nn.Module, str]:
    """The network in whichever memory layout it runs faster, channels first or last.

    Which one that is depends on network, clip and machine, for dense and Winograd networks alike;
    to time them all in one would favour some.

    Args:
        model: parameters channels first; left as it is.
        clip: (C, T, H, W).
        threads: as for `measure`.

    Returns:
        The network, or a copy with channels last that lays out its input by itself, and
        CHANNELS_FIRST or CHANNELS_LAST.
    """
    layout = torch.channels_last_3d
    last = deepcopy(model)
    last.to(memory_format=layout)  # type: ignore[call-overload]
    last.register_forward_pre_hook(lambda _, args: (args[0].contiguous(memory_format=layout),))
    both = {CHANNELS_FIRST: model, CHANNELS_LAST: last}
    found = time_models(both, clip[None], budget=0, min_repeats=3, warmup=1, threads=threads)
    fastest = min(both, key=lambda name: found[name].median)
    return both[fastest], fastest


def measure(
    models: Mapping[str, nn.Module],
    clip: Tensor,
    batch_sizes: Sequence[int] = (1, 8),
    *,
    layers: Iterable[str] = (),
    budget: float = 10.0,
    min_repeats: int = 5,
    threads: int | None = None,
) -> list[Latency]:
    """Times networks in turns at each batch size.

    Args:
        models: name -> network, all on the device of `clip`.
        clip: (C, T, H, W), one clip as the networks are given it.
        batch_sizes: clips in a forward pass.
        layers: names of layers to time too; every network must have them.
        budget: seconds for each batch size, shared by the networks; the layers together get as
            much again.
        min_repeats: rounds made whatever they take.
        threads: torch's intra-op threads; None keeps the present number.

    Returns:
        One Latency a batch size.

    Raises:
        ValueError: a batch size below 1.
    """
    layers = list(layers)
    results = []
    for batch_size in batch_sizes:
        if batch_size < 1:
            raise ValueError(f"batch_sizes: {batch_size} is no batch size, give 1 or more")
        example = clip.expand(batch_size, *clip.shape).contiguous()
        options: dict[str, float | int | None] = {"min_repeats": min_repeats, "threads": threads}
        networks = time_models(models, example, budget=budget, **options)
        share = budget / max(1, len(layers))
        by_layer = time_layers(models, example, layers, budget=share, **options) if layers else {}
        results.append(Latency(batch_size, networks, by_layer))
    return results
