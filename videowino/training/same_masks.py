"""Whether all processes of a training prune the same columns."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor

from videowino.winograd import WinogradConv3d


def check_same_masks(trainer: pl.Trainer, layers: Mapping[str, WinogradConv3d]) -> None:
    """Compares checksums of all masks.

    They are the same by construction, made of gradients that processes have averaged. Where they
    are not, something is wrong with a machine or a callback, and gradients would be averaged of
    different networks.

    Args:
        trainer: of one process or several.
        layers: by name.

    Raises:
        ValueError: masks differ.
    """
    if trainer.world_size == 1:
        return
    own = torch.tensor([checksum(layer.mask) for layer in layers.values()])
    found = trainer.strategy.all_gather(own.to(trainer.strategy.root_device))
    differing = (found != found[0]).any(0).nonzero().flatten().tolist()
    if differing:
        name = list(layers)[differing[0]]
        others = (found[:, differing[0]] != found[0, differing[0]]).nonzero().flatten().tolist()
        raise ValueError(
            f"step {trainer.global_step}: processes 0 and {others[0]} prune different columns of "
            f"{name} (and {len(differing) - 1} more layers); what they train is no longer one "
            "network. Go on from the last checkpoint, and look at callbacks of your own that "
            "change gradients in one process alone"
        )


def checksum(mask: Tensor) -> int:
    """Of a mask's bits."""
    return zlib.crc32(mask.cpu().to(torch.uint8).numpy().tobytes())
