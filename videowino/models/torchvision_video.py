"""The video networks of torchvision.

R3D, MC3 and R(2+1)D ("A Closer Look at Spatiotemporal Convolutions for Action Recognition", Tran et
al. 2018, arXiv 1711.11248); S3D ("Rethinking Spatiotemporal Feature Learning", Xie et al. 2018,
arXiv 1712.04851).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from videowino.compat import torchvision
from videowino.models.pooling import let_pools_shrink
from videowino.models.registry import register_model
from videowino.models.scaling import scale_channels

Triple = tuple[int, int, int]
_resnet = torchvision.models.video.resnet


def _stem(conv_maker: type, width: float, in_channels: int, small: bool) -> nn.Sequential:
    """The stem at any width; `small` has 3 taps a frame axis in place of 7."""
    out, taps = scale_channels(64, width), 3 if small else 7
    middle = scale_channels(45, width) if conv_maker is _resnet.Conv2Plus1D else None
    depth = 3 if middle is None else 1

    def conv_bn_relu(inputs: int, outputs: int, kernel: Triple, stride: Triple) -> list[nn.Module]:
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        conv = nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False)
        return [conv, nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)]

    layers = conv_bn_relu(in_channels, middle or out, (depth, taps, taps), (1, 2, 2))
    if middle is not None:
        layers += conv_bn_relu(middle, out, (3, 1, 1), (1, 1, 1))
    return nn.Sequential(*layers)


class ScaledVideoResNet(torchvision.models.video.VideoResNet):
    """The VideoResNet of torchvision at any width; at width 1 its state dict is torchvision's.

    Args:
        conv_makers: torchvision's convolution class of each of the four stages.
        layers: blocks in each stage.
        num_classes: size of the classifier.
        width: scales every layer's channels.
        in_channels: channels of a frame.
        dropout: probability before the classifier.
        small_stem: 3x3x3 taps in the stem in place of 3x7x7.
    """

    inplanes: int
    avgpool: nn.Module
    fc: nn.Linear

    def __init__(
        self,
        conv_makers: list[Any],
        layers: list[int],
        num_classes: int,
        width: float = 1.0,
        in_channels: int = 3,
        dropout: float = 0.0,
        small_stem: bool = False,
    ) -> None:
        self.width = width  # _make_layer needs it before the base class has run
        super().__init__(
            _resnet.BasicBlock,
            conv_makers,
            layers,
            stem=lambda: _stem(conv_makers[0], width, in_channels, small_stem),
            num_classes=num_classes,
        )
        features = scale_channels(512, width)
        if self.fc.in_features != features:
            self.fc = nn.Linear(features, num_classes)
            nn.init.normal_(self.fc.weight, 0, 0.01)
            nn.init.zeros_(self.fc.bias)
        if dropout:
            self.avgpool = nn.Sequential(self.avgpool, nn.Dropout(dropout))

    def _make_layer(
        self, block: Any, conv_builder: Any, planes: int, blocks: int, stride: int = 1
    ) -> nn.Sequential:
        if not hasattr(self, "layer1"):
            self.inplanes = scale_channels(self.inplanes, self.width)
        scaled = scale_channels(planes, self.width)
        return super()._make_layer(block, conv_builder, scaled, blocks, stride)


def _register(name: str, convs: list[Any], layers: list[int], published: bool, doc: str) -> None:
    def build(
        num_classes: int,
        width: float = 1.0,
        in_channels: int = 3,
        dropout: float | None = None,
        stem: str = "default",
    ) -> ScaledVideoResNet:
        return ScaledVideoResNet(
            convs, layers, num_classes, width, in_channels, dropout or 0.0, stem == "small"
        )

    build.__name__, build.__doc__ = name, doc
    register_model(name, head="fc", torchvision_weights=published)(build)


_simple, _flat, _split = _resnet.Conv3DSimple, _resnet.Conv3DNoTemporal, _resnet.Conv2Plus1D
_register("r3d_10", [_simple] * 4, [1, 1, 1, 1], False, "R3D-10, for small sets and machines.")
_register("r3d_18", [_simple] * 4, [2, 2, 2, 2], True, "R3D-18.")
_register("r3d_34", [_simple] * 4, [3, 4, 6, 3], False, "R3D-34; torchvision has no weights.")
_register("mc3_18", [_simple] + [_flat] * 3, [2, 2, 2, 2], True, "MC3-18.")
_register("r2plus1d_18", [_split] * 4, [2, 2, 2, 2], True, "R(2+1)D-18.")


@register_model("s3d", head="classifier.1", torchvision_weights=True)
def s3d(num_classes: int, dropout: float | None = None) -> nn.Module:
    """S3D, torchvision's own network; published clips are 128 x 224 x 224."""
    model = torchvision.models.video.s3d(
        num_classes=num_classes, dropout=0.2 if dropout is None else dropout
    )
    let_pools_shrink(model)
    return model
