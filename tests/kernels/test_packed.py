"""Packed weights are kept while, and only while, what they come from stays as it is."""

import gc

import pytest
import torch
from torch import nn

from videowino.kernels import cpu, native
from videowino.kernels.packed import in_memory_order
from videowino.winograd import WinogradConv3d

pytestmark = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
PARAMETERIZATIONS = {"spatial": None, "vanilla": None, "low_rank": 4, "factored": 27}


@pytest.fixture
def packings(monkeypatch):
    """Counts how often weights are packed."""
    counted = []
    pack = native.library().vw_pack

    class Counting:
        def __getattr__(self, name):
            if name == "vw_pack":
                return lambda *args: (counted.append(1), pack(*args))[1]
            return getattr(real, name)

    real = native.library()
    monkeypatch.setattr(native, "library", lambda: counting)
    counting = Counting()
    return counted


def layer_of(parameterization):
    conv = nn.Conv3d(8, 12, 3, padding=1)
    rank = PARAMETERIZATIONS[parameterization]
    return WinogradConv3d.from_conv(conv, parameterization=parameterization, rank=rank).eval()


def trained(layer):
    return layer.right if layer.right is not None else layer.weight


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_packed_once(parameterization, mode, packings):
    layer, x = layer_of(parameterization), torch.randn(1, 8, 4, 6, 6)
    with mode():
        first = layer(x)
        assert torch.equal(layer(x), first)
        layer(torch.randn(2, 8, 3, 9, 5))
    assert len(packings) == 1


CHANGES = {
    "in place": lambda layer: trained(layer).mul_(1.5),
    "behind autograd's back": lambda layer: trained(layer).data.mul_(1.5),
    "loaded": lambda layer: layer.load_state_dict(
        {k: v * 1.5 if v.is_floating_point() else v for k, v in layer.state_dict().items()}
    ),
    "gate": lambda layer: layer.gate.mul_(1.5),
    "mask": lambda layer: layer.set_column_mask(torch.arange(layer.columns) % 2 == 0),
}


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
@pytest.mark.parametrize("change", CHANGES)
def test_packed_anew_after_a_change(parameterization, change, packings):
    layer, x = layer_of(parameterization), torch.randn(1, 8, 4, 6, 6)
    with torch.no_grad():
        layer(x)
        CHANGES[change](layer)
        y = layer(x)
        expected = layer.double()(x.double())
    assert len(packings) == 2
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-5)


def test_looking_for_changes_copies_nothing():
    for weight in (torch.randn(3, 4, 5), torch.randn(3, 4, 5).permute(2, 0, 1), torch.ones(())):
        flat = in_memory_order(weight)
        assert flat.data_ptr() == weight.data_ptr()
        assert sorted(flat.tolist()) == sorted(weight.flatten().tolist())


def test_nothing_is_kept_in_training(packings):
    layer, x = layer_of("spatial").train(), torch.randn(1, 8, 4, 6, 6)
    before = len(cpu._weights._entries)
    layer(x).sum().backward()
    layer(x)
    assert len(packings) == 2
    assert len(cpu._weights._entries) == before


def test_gone_with_the_layer():
    gc.collect()
    layer, x = layer_of("low_rank"), torch.randn(1, 8, 4, 6, 6)
    before = len(cpu._weights._entries)
    with torch.no_grad():
        layer(x)
    assert len(cpu._weights._entries) == before + 1
    del layer
    gc.collect()
    assert len(cpu._weights._entries) == before
