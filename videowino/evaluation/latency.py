"""Measured milliseconds a clip, of networks side by side and of their Winograd layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from videowino.timing import Timing, time_layers, time_models


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


def measure(
    models: Mapping[str, nn.Module],
    clip: Tensor,
    batch_sizes: Sequence[int] = (1, 8),
    *,
    layers: Iterable[str] = (),
    plain: Mapping[str, nn.Module] | None = None,
    budget: float = 10.0,
    min_repeats: int = 5,
    threads: int | None = None,
) -> list[Latency]:
    """Times networks in turns at each batch size.

    Args:
        models: name -> network, all on the device of `clip`.
        clip: (C, T, H, W), one clip as the networks are given it.
        batch_sizes: clips in a forward pass.
        layers: names of layers to time too.
        plain: the networks whose layers they are; `models` if None. Every one must have them.
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
        by_layer = (
            time_layers(plain or models, example, layers, budget=share, **options) if layers else {}
        )
        results.append(Latency(batch_size, networks, by_layer))
    return results
