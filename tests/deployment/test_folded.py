"""Without kernels a Winograd layer computes the same, and none of its weight's making is left."""

import pytest
import torch
from torch import nn

import videowino
from tests.deployment.networks import CLIP, Network, trained
from videowino.deployment.folded import FoldedConv3d
from videowino.kernels import native
from videowino.surgery import convert, prune
from videowino.winograd import WinogradConv3d, winograd_layers

OPTIONS = [
    ("spatial", 0.0, {}),
    ("spatial", 0.5, {}),
    ("vanilla", 0.75, {"points": "0,1,-1,2,-2", "tile": (4, 4, 4)}),
    ("low_rank", 0.5, {"tile": (2, 2, 2)}),
    ("factored", 0.25, {"rank": 5}),
]


@pytest.mark.parametrize(("parameterization", "sparsity", "options"), OPTIONS)
def test_same_output_same_columns(parameterization, sparsity, options):
    torch.manual_seed(0)
    conv = nn.Conv3d(6, 5, (1, 3, 3), padding="same", padding_mode="replicate")
    model = nn.Sequential(nn.Conv3d(3, 6, 3, padding=1, bias=False), conv)
    convert(model, parameterization=parameterization, **({"rank": 4} | options))
    for layer in winograd_layers(model).values():
        nn.init.uniform_(layer.gate, 0.5, 1.5)
        if layer.left is not None:
            nn.init.normal_(layer.left)
    prune(model, sparsity)
    x = torch.randn(2, 3, 5, 9, 10)
    for layer in model:
        folded = FoldedConv3d(layer)
        with torch.no_grad():
            y = layer(x)
            residual = torch.randn_like(y)
            torch.testing.assert_close(folded(x), y, rtol=1e-4, atol=1e-4)
            expected = (y + residual).relu()
            torch.testing.assert_close(folded(x, residual, True), expected, rtol=1e-4, atol=1e-4)
        shape = (layer.columns_kept, layer.out_channels, layer.in_channels)
        assert tuple(folded.weight.shape) == shape and folded.weight.is_contiguous()
        x = y


def test_sixteen_bit_clips():
    layer = WinogradConv3d(3, 6, 3, padding=1, parameterization="low_rank", rank=2).bfloat16()
    x = torch.randn(1, 3, 4, 8, 8).bfloat16()
    folded = FoldedConv3d(layer)(x)
    assert folded.dtype == torch.bfloat16
    # U itself is rounded to the layer's type where it is folded.
    torch.testing.assert_close(folded, layer(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("parameterization", ["vanilla", "low_rank"])
def test_networks_are_deployed_without_kernels(parameterization, tmp_path, monkeypatch):
    monkeypatch.setattr(native, "library", lambda: None)
    model = trained(Network())
    convert(model, parameterization=parameterization, rank=4)
    prune(model, 0.5)
    deployed = videowino.deploy(model.eval(), CLIP, budget=0)
    assert deployed.check(model, [CLIP, CLIP[:1]]) < 1e-4
    names = {layer.algorithm for layer in deployed.report(repeats=1).layers}
    assert names == {"direct", "linear", "F(2x4x4, 3x3x3)"}
    deployed.save(tmp_path / "model.vwino")
    assert videowino.load(tmp_path / "model.vwino", budget=0).check(model, [CLIP]) < 1e-4
