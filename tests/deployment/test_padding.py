"""Zeros that a network pads with itself go into the convolution behind them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import videowino
from tests.deployment.networks import trained
from videowino.deployment.convolution import FusedConv3d
from videowino.deployment.tune import Tuner
from videowino.models.i3d import SamePad3d

CLIP = torch.randn(2, 3, 4, 14, 13, generator=torch.Generator().manual_seed(2))


class Padded(nn.Module):
    """Zeros before, of a number for each size of clip; ones; zeros that two look at; a crop."""

    def __init__(self):
        super().__init__()
        self.same = SamePad3d((3, 5, 5), (1, 2, 2))
        self.stem = nn.Conv3d(3, 8, (3, 5, 5), (1, 2, 2))
        self.norm = nn.BatchNorm3d(8)
        self.a, self.b = nn.Conv3d(8, 8, 3, padding=(1, 0, 0)), nn.Conv3d(8, 8, 3)
        self.c, self.d = nn.Conv3d(8, 6, 1), nn.Conv3d(6, 5, 3, padding=1)

    def forward(self, x):
        x = self.norm(self.stem(self.same(x))).relu()
        x = (self.a(F.pad(x, (1, 1, 2, 0, 0, 0))) + x).relu()
        x = self.b(F.pad(x, (1, 1, 1, 1, 1, 1), value=1.0))
        seen = F.pad(x, (0, 1, 0, 0, 0, 0))
        x = self.c(seen) + seen[:, :6]
        return self.d(F.pad(x, (-1, 0, 0, 0, 0, 0))).flatten(1)


def test_zeros_go_into_the_convolution(tmp_path):
    model = trained(Padded())
    deployed = videowino.deploy(model, CLIP, budget=0)
    other = torch.randn(1, 3, 5, 17, 18)
    assert deployed.traced and deployed.check(model, [CLIP, other]) < 1e-5
    padding = [n for n in deployed.network.graph.nodes if "pad" in str(n.target)]
    assert len(padding) == 2  # the ones, and those that two look at
    deployed.save(tmp_path / "padded.vwino")
    loaded = videowino.load(tmp_path / "padded.vwino", budget=0)
    assert loaded.check(model, [CLIP, other]) < 1e-5
    assert loaded.report(CLIP, repeats=1).layers


@pytest.mark.parametrize("convert", [False, True])
@pytest.mark.parametrize("pads", [[1, 0, 0, 2, 3, 1], [-1, 2, 0, 0, 0, 0], [-2, -1, 0, -1, 0, 0]])
def test_every_algorithm_pads(convert, pads):
    model = nn.Sequential(nn.Conv3d(3, 5, 3, padding=1)).eval().requires_grad_(False)
    if convert:
        videowino.convert(model, tile=(2, 2, 2))
        videowino.prune(model, 0.5)
    layer = FusedConv3d(model[0], True, Tuner(0))
    expected = model(F.pad(CLIP, pads)).relu()
    for name, make in layer.algorithms(CLIP, tuple(pads)).items():
        found = make()(CLIP, None)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, msg=name)
    torch.testing.assert_close(layer(CLIP, pads=pads), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer(CLIP), model(CLIP).relu(), rtol=1e-4, atol=1e-5)
