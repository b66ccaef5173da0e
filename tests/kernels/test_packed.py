"""Packed weights are kept while, and only while, what they come from stays as it is."""

import gc

import pytest
import torch
from torch import nn

from videowino.kernels import cpu, native
from videowino.kernels.watch import is_dense
from videowino.winograd import WinogradConv3d

pytestmark = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
PARAMETERIZATIONS = {"spatial": None, "vanilla": None, "low_rank": 4, "factored": 27}


@pytest.fixture
def packings(monkeypatch):
    """Counts how often weights are packed."""
    counted = []
    real = native.library()

    class Counting:
        def __getattr__(self, name):
            found = getattr(real, name)
            if name in ("vw_pack", "vw_pack_factors"):
                return lambda *args: (counted.append(1), found(*args))[1]
            return found

    counting = Counting()
    monkeypatch.setattr(native, "library", lambda: counting)
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


def test_dense_is_one_piece_of_memory():
    x = torch.randn(3, 4, 5)
    for weight in (x, x.permute(2, 0, 1), torch.ones(()), x[:1], x[1:]):
        assert is_dense(weight)
    assert not is_dense(x[:, 1:])
    assert not is_dense(x[..., ::2])
    assert not is_dense(torch.ones(1).expand(3, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("place", [0, 6, 14])
def test_a_fingerprint_changes_with_any_value(dtype, place):
    values = torch.arange(15.0).to(dtype)
    print_of = native.library().vw_fingerprint
    size = values.numel() * values.element_size()
    before = print_of(values.data_ptr(), size, 1)
    assert print_of(values.clone().data_ptr(), size, 1) == before
    values[place] += 1
    assert print_of(values.data_ptr(), size, 1) != before


def test_a_weight_that_is_a_view_with_gaps_is_packed_anew():
    layer, x = layer_of("spatial"), torch.randn(1, 8, 4, 6, 6)
    wide = torch.randn(12, 8, 3, 3, 6)
    layer.weight = nn.Parameter(wide[..., ::2])
    with torch.no_grad():
        first = layer(x)
        wide[7, 5, 2, 1, 4] += 100
        layer.weight.data = wide[..., ::2]
        assert (layer(x) - first).abs().max() > 1


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
