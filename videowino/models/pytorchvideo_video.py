"""The builders of pytorchvideo, which is imported only when one of them is built.

I3D-R50; SlowFast-R50 (Feichtenhofer et al. 2019, arXiv 1812.03982); X3D-S (Feichtenhofer 2020,
arXiv 2004.04730).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor, nn

from videowino.compat import ensure_torchvision
from videowino.models.pooling import let_pools_shrink
from videowino.models.registry import register_model
from videowino.models.scaling import scale_channels


def _hub(name: str) -> ModuleType:
    ensure_torchvision()  # pytorchvideo imports it too
    try:
        return importlib.import_module(f"pytorchvideo.models.hub.{name}")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"this backbone needs the package {error.name}, which is not installed: "
            "pip install 'videowino[pytorchvideo]'"
        ) from error


@register_model("i3d_r50", head="blocks.6.proj")
def i3d_r50(
    num_classes: int, width: float = 1.0, in_channels: int = 3, dropout: float | None = None
) -> nn.Module:
    """I3D on ResNet-50; published clips are 8 x 224 x 224."""
    model = _hub("resnet").i3d_r50(
        model_num_class=num_classes,
        dropout_rate=0.5 if dropout is None else dropout,
        input_channel=in_channels,
        stem_dim_out=scale_channels(64, width),
    )
    let_pools_shrink(model)
    return model


class SlowFast(nn.Module):
    """pytorchvideo's SlowFast, taking a clip or its two pathways.

    A clip x: N C D H W goes whole to the fast pathway, and every fourth frame of it, evenly spread
    from first to last, to the slow one. State dict of pytorchvideo's own.
    """

    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor | Sequence[Tensor]) -> Tensor:
        """x: N C D H W, or the pair [slow: N C ceil(D/4) H W, fast: N C D H W]."""
        paths = self.pathways(x) if isinstance(x, Tensor) else list(x)
        return self.blocks(paths)

    @staticmethod
    def pathways(x: Tensor) -> list[Tensor]:
        """The slow and the fast pathway's frames of a clip."""
        frames = x.shape[2]
        slow = torch.linspace(0, frames - 1, -(-frames // 4), device=x.device).long()
        return [x.index_select(2, slow), x]


@register_model("slowfast_r50", head="blocks.6.proj")
def slowfast_r50(
    num_classes: int, width: float = 1.0, in_channels: int = 3, dropout: float | None = None
) -> nn.Module:
    """SlowFast on ResNet-50; published clips are 32 x 224 x 224 (8 frames in the slow pathway)."""
    channels = scale_channels(64, width)
    model = _hub("slowfast").slowfast_r50(
        model_num_class=num_classes,
        dropout_rate=0.5 if dropout is None else dropout,
        input_channels=(in_channels, in_channels),
        stem_dim_outs=(channels, channels // 8),
    )
    let_pools_shrink(model)
    return SlowFast(model.blocks)


@register_model("x3d_s", head="blocks.5.proj")
def x3d_s(
    num_classes: int, width: float = 1.0, in_channels: int = 3, dropout: float | None = None
) -> nn.Module:
    """X3D-S, returning logits; published clips are 13 x 160 x 160."""
    model = _hub("x3d").x3d_s(
        model_num_class=num_classes,
        dropout_rate=0.5 if dropout is None else dropout,
        input_channel=in_channels,
        width_factor=2.0 * width,
        head_activation=None,
    )
    let_pools_shrink(model)
    return model
