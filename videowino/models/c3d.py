"""C3D (Tran et al. 2015).

"Learning Spatiotemporal Features with 3D Convolutional Networks", arXiv 1412.0767, section 3.2 and
figure 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from videowino.models.registry import register_model
from videowino.models.scaling import scale_channels

_FC_GRID = (1, 4, 4)  # what pool5 leaves of a 16 x 112 x 112 clip: the inputs of fc6


class C3D(nn.Module):
    """Eight 3x3x3 convolutions, five max pools, three fully connected layers.

    Module names are those of the public PyTorch state dict of the Sports-1M weights. On its own
    16 x 112 x 112 clips it is that network. Other clip sizes run too: pools round up, so that
    short clips pass all five (on the network's own sizes rounding up changes nothing), and what
    pool5 leaves is averaged or repeated to the grid that fc6 takes.

    Args:
        num_classes: size of fc8.
        width: scales convolutions and fully connected layers.
        in_channels: channels of a frame.
        dropout: probability after fc6 and after fc7; the paper's code uses 0.5.
    """

    def __init__(
        self, num_classes: int, width: float = 1.0, in_channels: int = 3, dropout: float = 0.5
    ) -> None:
        super().__init__()
        c1, c2, c3, c4, fc = (scale_channels(c, width) for c in (64, 128, 256, 512, 4096))

        def conv(inputs: int, outputs: int) -> nn.Conv3d:
            return nn.Conv3d(inputs, outputs, kernel_size=3, padding=1)

        self.conv1 = conv(in_channels, c1)
        self.pool1 = nn.MaxPool3d((1, 2, 2), ceil_mode=True)
        self.conv2 = conv(c1, c2)
        self.pool2 = nn.MaxPool3d(2, ceil_mode=True)
        self.conv3a = conv(c2, c3)
        self.conv3b = conv(c3, c3)
        self.pool3 = nn.MaxPool3d(2, ceil_mode=True)
        self.conv4a = conv(c3, c4)
        self.conv4b = conv(c4, c4)
        self.pool4 = nn.MaxPool3d(2, ceil_mode=True)
        self.conv5a = conv(c4, c4)
        self.conv5b = conv(c4, c4)
        self.pool5 = nn.MaxPool3d(2, padding=(0, 1, 1), ceil_mode=True)
        self.fc6 = nn.Linear(c4 * _FC_GRID[1] * _FC_GRID[2], fc)
        self.fc7 = nn.Linear(fc, fc)
        self.fc8 = nn.Linear(fc, num_classes)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)

        for module in self.modules():
            if isinstance(module, (nn.Conv3d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.fc8.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """x: N C D H W -> logits (N, num_classes)."""
        x = self.pool1(self.relu(self.conv1(x)))
        x = self.pool2(self.relu(self.conv2(x)))
        x = self.pool3(self.relu(self.conv3b(self.relu(self.conv3a(x)))))
        x = self.pool4(self.relu(self.conv4b(self.relu(self.conv4a(x)))))
        x = self.pool5(self.relu(self.conv5b(self.relu(self.conv5a(x)))))
        x = F.adaptive_avg_pool3d(x, _FC_GRID)  # as it is, for clips of the published size
        x = self.dropout(self.relu(self.fc6(x.flatten(1))))
        x = self.dropout(self.relu(self.fc7(x)))
        return self.fc8(x)


_RENAMED = {
    "features.0": "conv1",
    "features.3": "conv2",
    "features.6": "conv3a",
    "features.8": "conv3b",
    "features.11": "conv4a",
    "features.13": "conv4b",
    "features.16": "conv5a",
    "features.18": "conv5b",
    "classifier.0": "fc6",
    "classifier.3": "fc7",
    "classifier.6": "fc8",
    "conv1a": "conv1",
    "conv2a": "conv2",
    "cls_head.fc_cls": "fc8",
}


def rename_public(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Key names of the public C3D state dicts, brought to this module's.

    Three are around: conv1 .. fc8, ours (Sports-1M, github.com/DavideA/c3d-pytorch), features.N
    and classifier.N (ucf101-caffe.pth, github.com/jfzhang95/pytorch-video-recognition), and
    conv1a.conv, with or without backbone. and cls_head. (github.com/open-mmlab/mmaction2).
    """
    renamed = {}
    for key, tensor in state.items():
        module, _, leaf = key.removeprefix("backbone.").rpartition(".")
        module = module.removesuffix(".conv")
        renamed[f"{_RENAMED.get(module, module)}.{leaf}"] = tensor
    return renamed


@register_model("c3d", head="fc8", rename=rename_public)
def c3d(
    num_classes: int, width: float = 1.0, in_channels: int = 3, dropout: float | None = None
) -> C3D:
    """C3D; published clips are 16 x 112 x 112."""
    return C3D(num_classes, width, in_channels, 0.5 if dropout is None else dropout)
