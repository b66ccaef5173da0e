"""Times of a network's layers beside the baseline's."""

from __future__ import annotations

from dataclasses import dataclass

from videowino.evaluation.comparison import Comparison


@dataclass(frozen=True)
class LayerBar:
    """One layer at one batch size, in milliseconds a clip.

    Attributes:
        layer: its name.
        before: of the baseline.
        after: of the network.
        longest: of all layers and networks at this batch size.
    """

    layer: str
    before: float
    after: float
    longest: float

    @property
    def speedup(self) -> float:
        """The baseline's time over the network's."""
        return self.before / self.after if self.after else float("inf")


def layer_bars(comparison: Comparison, network: str, batch_size: int) -> list[LayerBar]:
    """In the order of the layers; [] where single layers were not timed."""
    entries = [entry for entry in comparison.layers if entry.batch_size == batch_size]
    longest = max((ms for entry in entries for ms in entry.ms_per_clip.values()), default=0.0)
    baseline = comparison.rows[0].name
    return [
        LayerBar(entry.layer, entry.ms_per_clip[baseline], entry.ms_per_clip[network], longest)
        for entry in entries
    ]
