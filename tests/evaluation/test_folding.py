"""Folded networks compute the same, and none of the weight's making is left in them."""

import pytest
import torch
from torch import nn

from videowino.evaluation.folding import fold
from videowino.kernels import native
from videowino.surgery import convert, prune
from videowino.winograd import winograd_layers

OPTIONS = [
    ("spatial", 0.0, {}),
    ("spatial", 0.5, {}),
    ("vanilla", 0.75, {"points": "0,1,-1,2,-2", "tile": (4, 4, 4)}),
    ("low_rank", 0.5, {"tile": (2, 2, 2)}),
    ("factored", 0.25, {"rank": 5}),
]


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(native, "library", lambda: None)


def test_the_kernels_need_no_folding():
    if native.library() is None:
        pytest.skip("the kernels were not built")
    model = nn.Sequential(nn.Conv3d(3, 6, 3, padding=1), nn.Conv3d(6, 6, 5))
    convert(model)
    folded = fold(model)
    assert list(winograd_layers(folded)) == ["0"]  # no kernel has five taps
    x = torch.randn(2, 3, 6, 9, 10)
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("no_kernels")
@pytest.mark.parametrize(("parameterization", "sparsity", "options"), OPTIONS)
def test_same_output_same_columns(parameterization, sparsity, options):
    shared = nn.Conv3d(6, 6, (1, 3, 3), padding="same", padding_mode="replicate")
    model = nn.Sequential(nn.Conv3d(3, 6, 3, padding=1, bias=False), shared, nn.ReLU(), shared)
    convert(model, parameterization=parameterization, **({"rank": 4} | options))
    for layer in winograd_layers(model).values():
        nn.init.uniform_(layer.gate, 0.5, 1.5)
        if layer.left is not None:
            nn.init.normal_(layer.left)
    prune(model, sparsity)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}

    folded = fold(model)

    x = torch.randn(2, 3, 5, 9, 10)
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-4)
    assert folded[1] is folded[3]  # a shared layer stays shared
    assert not winograd_layers(folded)
    for name, layer in winograd_layers(model).items():
        kept = folded.get_submodule(name)
        shape = (layer.columns_kept, layer.out_channels, layer.in_channels)
        assert tuple(kept.weight.shape) == shape
        assert kept.weight.is_contiguous()
    assert not folded.training
    assert not any(p.requires_grad for p in folded.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_sixteen_bit_clips():
    model = nn.Sequential(nn.Conv3d(3, 6, 3, padding=1))
    convert(model, parameterization="low_rank", rank=2)
    prune(model, 0.5)
    model.bfloat16()
    x = torch.randn(1, 3, 4, 8, 8).bfloat16()
    folded = fold(model)(x)
    assert folded.dtype == torch.bfloat16
    # U itself is rounded to the layer's type where it is folded.
    torch.testing.assert_close(folded, model(x), rtol=0.05, atol=0.05)


def test_dense_networks_are_copied_channels_first():
    model = nn.Sequential(nn.Conv3d(3, 6, 3)).to(memory_format=torch.channels_last_3d)
    folded = fold(model)
    assert folded[0].weight.is_contiguous()
    assert not model[0].weight.is_contiguous()
    assert torch.equal(folded[0].weight, model[0].weight)
