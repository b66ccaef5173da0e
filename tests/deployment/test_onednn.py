"""oneDNN's convolution with a weight laid out beforehand."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from videowino.deployment import onednn
from videowino.deployment.convolution import FusedConv3d
from videowino.deployment.onednn import PackedConv3d
from videowino.deployment.tune import Tuner

LAST = torch.channels_last_3d
pytestmark = pytest.mark.skipif(
    not PackedConv3d.fits(nn.Conv3d(1, 1, 1)), reason="PyTorch has no such operators"
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_computes_what_the_convolution_does(data):
    def three(*values):
        return tuple(data.draw(st.sampled_from(values)) for _ in range(3))

    groups = data.draw(st.sampled_from([1, 1, 2]))
    channels = st.integers(1, 20)
    torch.manual_seed(data.draw(st.integers(0, 99)))
    conv = nn.Conv3d(
        groups * data.draw(channels),
        groups * data.draw(channels),
        three(1, 2, 3),
        three(1, 2, 3),
        three(0, 1, 2),
        three(1, 2),
        groups,
        bias=data.draw(st.booleans()),
    )
    conv.requires_grad_(False)
    relu = data.draw(st.booleans())
    packed = PackedConv3d(conv, relu)
    for _ in range(2):
        size = (data.draw(st.integers(1, 2)), conv.in_channels, *three(5, 6, 9))
        x = torch.randn(size).to(memory_format=LAST)
        expected = conv.double()(x.double())
        conv.float()
        residual = torch.randn_like(expected) if data.draw(st.booleans()) else None
        if residual is not None:
            expected = expected + residual
            residual = residual.float().to(
                memory_format=data.draw(st.sampled_from([LAST, None])) or torch.contiguous_format
            )
        expected = expected.relu() if relu else expected
        y = packed(x, residual)
        assert y.is_contiguous(memory_format=LAST) or 1 in y.shape[1:]
        torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-4)


def test_others_are_pytorch_s():
    conv = nn.Conv3d(3, 4, 3, padding=1).requires_grad_(False)
    packed, x = PackedConv3d(conv, True), torch.randn(2, 3, 4, 5, 6)
    for residual in (torch.randn(1, 4, 4, 5, 6), torch.randn(4, 1, 1, 1), torch.randn(())):
        torch.testing.assert_close(
            packed(x.contiguous(memory_format=LAST), residual), (conv(x) + residual).relu()
        )
    assert packed(x[:0], None).shape == (0, 4, 4, 5, 6)
    torch.testing.assert_close(packed(x[0], None), conv(x[0]).relu())
    with pytest.raises(RuntimeError, match="channel"):
        packed(torch.randn(1, 2, 4, 5, 6), None)
    with pytest.raises(RuntimeError, match="size"):
        PackedConv3d(nn.Conv3d(3, 4, 3), False)(torch.randn(1, 3, 2, 5, 6), None)


def test_a_weight_is_laid_out_for_each_of_the_last_shapes():
    conv = nn.Conv3d(3, 4, 1).requires_grad_(False)
    packed = PackedConv3d(conv, False)
    for width in range(1, 25):
        x = torch.randn(1, 3, 2, 2, width).to(memory_format=LAST)
        torch.testing.assert_close(packed(x, None), conv(x))
    assert len(packed._packed) == onednn._MOST_SHAPES


@pytest.mark.parametrize("there", [True, False])
def test_without_the_operators_the_public_one_computes(there, monkeypatch):
    monkeypatch.setattr(onednn, "_operators_work", lambda: there)
    conv = nn.Conv3d(3, 4, 3, (1, 3, 1), 1).requires_grad_(False)  # no tile takes a stride of 3
    x, residual = torch.randn(1, 3, 4, 5, 6), torch.randn(1, 4, 4, 2, 6)
    layer = FusedConv3d(conv, True, Tuner(0))
    expected = (F.conv3d(x, conv.weight, conv.bias, (1, 3, 1), 1) + residual).relu()
    torch.testing.assert_close(layer(x, residual), expected, rtol=1e-4, atol=1e-5)
    assert layer.algorithm == "direct"


def test_operators_of_another_version(monkeypatch):
    def changed(*_):
        raise RuntimeError("takes 11 arguments")

    monkeypatch.setattr(onednn, "_pack", changed)
    assert not onednn._operators_work.__wrapped__()
