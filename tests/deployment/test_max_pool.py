"""Max poolings that stand by themselves in a deployed network."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import videowino
from tests.deployment.networks import trained
from videowino.deployment.pooling import FusedMaxPool3d
from videowino.kernels import native
from videowino.models.i3d import SamePad3d

CLIP = torch.randn(2, 3, 4, 14, 13, generator=torch.Generator().manual_seed(2))


class Pooled(nn.Module):
    """Every kind: padded by itself and before, of its own module, as a function, seen twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv3d(3, 8, 3, padding=1), nn.Conv3d(16, 6, 1)
        self.same = nn.Sequential(
            SamePad3d((1, 3, 3), (1, 2, 2)), nn.MaxPool3d((1, 3, 3), (1, 2, 2))
        )
        self.own = nn.MaxPool3d(3, stride=1, padding=1)
        self.places = nn.MaxPool3d(2, return_indices=True)

    def forward(self, x):
        x = self.same(self.a(x).relu())
        y = F.max_pool3d(F.pad(x, (1, 1, 1, 1, 0, 0), value=2.0), (1, 3, 3), 1)
        x = self.b(torch.cat([self.own(x), y], 1))
        return self.places(F.max_pool3d(x, 3, 2, 1, ceil_mode=True))[0].flatten(1)


def pools(deployed):
    return [m for m in deployed.modules() if isinstance(m, FusedMaxPool3d)]


def test_poolings_take_their_padding(tmp_path):
    model = trained(Pooled())
    deployed = videowino.deploy(model, CLIP, budget=0)
    other = torch.randn(1, 3, 5, 17, 18)
    assert deployed.traced and deployed.check(model, [CLIP, other]) < 1e-5
    assert len(pools(deployed)) == 4
    named = {node.name for node in deployed.network.graph.nodes}
    assert not any(name.startswith("pad") for name in named)
    if native.library() is not None:
        assert [m.algorithm for m in pools(deployed)] == ["max pool"] * 4
        rows = [layer.algorithm for layer in deployed.report(CLIP, repeats=1).layers]
        assert rows.count("max pool") == 4
    deployed.save(tmp_path / "pooled.vwino")
    loaded = videowino.load(tmp_path / "pooled.vwino", budget=0)
    assert len(pools(loaded)) == 4 and loaded.check(model, [CLIP, other]) < 1e-5


@pytest.mark.parametrize(
    ("x", "pads"),
    [
        (torch.randn(1, 2, 4, 5, 6, dtype=torch.float64), [1, 0, 0, 1, 0, 0]),
        (torch.randn(1, 2, 4, 5, 6), [1, 0, -1, 0, 0, 0]),
        (torch.randn(2, 4, 5, 6), None),
    ],
)
def test_others_are_pytorch_s(x, pads):
    layer = FusedMaxPool3d((2, 2, 2), (1, 1, 1))
    expected = F.max_pool3d(x if pads is None else F.pad(x, pads), 2, 1)
    assert torch.equal(layer(x, pads), expected) and layer.algorithm == "direct"


def test_a_clip_that_is_too_small_is_pytorch_s_error():
    with pytest.raises(RuntimeError, match="too small"):
        FusedMaxPool3d((3, 3, 3), (1, 1, 1))(torch.randn(1, 2, 2, 5, 5))
