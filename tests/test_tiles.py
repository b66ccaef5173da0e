"""Tiles to convert with, found by measuring."""

import pytest
import torch
from torch import nn

import videowino
from videowino import tiles
from videowino.kernels import native
from videowino.timing import Timing
from videowino.winograd import winograd_layers
from videowino.winograd.finish import MaxPool

built = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
CLIP = torch.randn(1, 3, 4, 12, 12)


def network():
    return nn.Sequential(
        nn.Conv3d(3, 4, 3, padding=1),
        nn.Conv3d(4, 4, 3, padding=1),
        nn.Conv3d(4, 4, 3, padding=1),
        nn.Conv3d(4, 4, (1, 3, 3), padding=(0, 1, 1)),
        nn.Conv3d(4, 4, 3, stride=2),
    )


@built
def test_the_fastest_of_each_geometry(monkeypatch):
    measured = []

    def measure(calls, **_):
        measured.append([name for name, call in calls.items() if call() is not None])
        wanted = "F(2x4x4, 3x3x3)" if len(measured) == 2 else measured[-1][0]
        return {name: Timing(1.0 if name == wanted else 2.0, 0, 0, 1, 1) for name in calls}

    monkeypatch.setattr(tiles, "alternate", measure)
    model, told = network().train(), []
    found = videowino.fastest_tiles(model, CLIP, 0.5, progress=lambda *at: told.append(at))
    assert found == {"0": (4, 5, 5), "1": (2, 4, 4), "2": (2, 4, 4), "3": (1, 5, 5)}
    assert len(measured) == 3 and told[-1] == (3, 4)
    assert model.training and not winograd_layers(model)
    videowino.convert(model, tile=found)
    assert {name: layer.tile.m for name, layer in winograd_layers(model).items()} == found


@built
def test_by_the_clock():
    found = videowino.fastest_tiles(network(), CLIP, budget=0)
    assert set(found) == {"0", "1", "2", "3"} and found["3"][0] == 1


class Followed(nn.Module):
    """A pooled convolution, and a residual block without batch norm."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(4, 4, 3, padding=1)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool3d((1, 2, 2), ceil_mode=True)

    def forward(self, x):
        x = self.pool(self.relu(self.first(x)))
        return self.relu(self.second(x) + x)


def test_layers_are_timed_with_what_follows_them():
    found = tiles._followed(Followed(), CLIP)
    assert found["first"] == (True, False, MaxPool((1, 2, 2), ceil=True))
    assert found["second"] == (True, True, None)


@built
def test_in_inference_mode_no_weight_is_packed_in_between(monkeypatch):
    made, pruned = [], tiles._pruned
    monkeypatch.setattr(tiles, "_pruned", lambda *a: made.append(pruned(*a)) or made[-1])
    with torch.inference_mode():
        videowino.fastest_tiles(Followed(), CLIP, 0.5, budget=0)
    assert made and not any(p.is_inference() for layer in made for p in layer.parameters())


@built
def test_with_strides_when_asked():
    found = videowino.fastest_tiles(network(), CLIP, budget=0, strided=True)
    assert set(found) == {"0", "1", "2", "3", "4"}
    assert found["4"][0] == 1 and max(found["4"]) > 1  # of one output frame


def test_without_kernels_there_is_nothing_to_choose(monkeypatch):
    monkeypatch.setattr(native, "library", lambda: None)
    assert videowino.fastest_tiles(network(), CLIP) == {}


def test_misuse():
    with pytest.raises(ValueError, match="sparsity=1: from 0 to below 1"):
        videowino.fastest_tiles(network(), CLIP, 1)
    with pytest.raises(ValueError, match="tile: the model has no convolution 'head'"):
        videowino.convert(network(), tile={"head": 2})
    with pytest.raises(ValueError, match="tile=9 is out of range"):
        videowino.convert(network(), tile={"0": 9})
    model = network()
    videowino.convert(model, tile={"0": 2})
    assert [layer.tile.m for layer in winograd_layers(model).values()][:2] == [(2,) * 3, (2, 4, 4)]
