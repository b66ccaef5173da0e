"""Training batches whose clips are mixed in pairs, by torchvision's MixUp and CutMix."""

from __future__ import annotations

from torch import Tensor, nn

from videowino.compat import torchvision

v2 = torchvision.transforms.v2


class Mixing(nn.Module):
    """Clips B C T H W and labels B -> mixed clips and the share of each class, B x classes.

    One share (MixUp) or one box (CutMix) is drawn a batch from torch's generator; the box is the
    same in all frames. Clips are mixed with the one before them in the batch, which is shuffled.

    Args:
        mixup: alpha of MixUp's Beta distribution; 0 for none.
        cutmix: alpha of CutMix's; 0 for none. Where both are given, each batch is mixed by one or
            the other, at even odds.
        num_classes: classes there are.
    """

    def __init__(self, mixup: float, cutmix: float, num_classes: int) -> None:
        super().__init__()
        ways: list[nn.Module] = []
        if mixup:
            ways.append(v2.MixUp(alpha=mixup, num_classes=num_classes))
        if cutmix:
            ways.append(v2.CutMix(alpha=cutmix, num_classes=num_classes))
        # The choice between the two is a draw: where there is none to be made, none is.
        self.way = ways[0] if len(ways) == 1 else v2.RandomChoice(ways)

    def forward(self, clip: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Mixes a batch."""
        mixed, share = self.way(torchvision.tv_tensors.Video(clip), label)
        return mixed.as_subclass(Tensor), share
