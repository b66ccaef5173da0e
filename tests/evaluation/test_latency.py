"""Milliseconds a clip: divided by the batch, compared with the baseline."""

import pytest
import torch
from torch import nn

from videowino.evaluation.latency import Latency, measure
from videowino.timing import Timing


def test_figures_by_hand():
    dense = Timing.of([0.080, 0.088, 0.072], threads=2)
    fast = Timing.of([0.040], threads=2)
    latency = Latency(8, {"dense": dense, "fast": fast})
    assert latency.ms_per_clip("dense") == pytest.approx(10.0)
    assert latency.iqr_ms_per_clip("dense") == pytest.approx(1.0)
    assert latency.ms_per_clip("fast") == pytest.approx(5.0)
    assert latency.speedup("fast", "dense") == pytest.approx(2.0)
    assert latency.speedup("dense", "fast") == pytest.approx(0.5)


class Repeated(nn.Module):
    """Does the same convolution `times` times; notes the shapes it is given."""

    def __init__(self, times):
        super().__init__()
        self.conv = nn.Conv3d(2, 2, 3, padding=1)
        self.times = times
        self.shapes = set()

    def forward(self, x):
        self.shapes.add(tuple(x.shape))
        for _ in range(self.times):
            x = self.conv(x)
        return x


def test_measures_each_batch_size_and_layer():
    once, often = Repeated(1), Repeated(40)
    results = measure(
        {"once": once, "often": often},
        torch.zeros(2, 4, 8, 8),
        [1, 3],
        layers=["conv"],
        budget=0.0,
        min_repeats=3,
        threads=1,
    )
    assert [latency.batch_size for latency in results] == [1, 3]
    assert once.shapes == often.shapes == {(1, 2, 4, 8, 8), (3, 2, 4, 8, 8)}
    for latency in results:
        assert latency.speedup("once", "often") > 3
        assert latency.networks["often"].repeats == 3
        assert latency.networks["once"].threads == 1
        # The layer is fed as often as the first network calls it, in both networks.
        assert latency.layers["conv"]["often"].repeats == 3


def test_batch_size_below_one():
    with pytest.raises(ValueError, match="batch_sizes: 0 is no batch size"):
        measure({"a": Repeated(1)}, torch.zeros(2, 4, 8, 8), [0])
