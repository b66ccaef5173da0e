"""Blocks of input channels, which a layer can keep or prune a column by.

x by blocks: (B, ...), one entry for each 16 channels; the last block has what is left of them.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

#: Input channels of a block: those of a cache line, and a vector of the widest kernels.
BLOCK = 16

Granularity = Literal["column", "block"]


def check_granularity(granularity: str) -> None:
    """Refuse an unknown granularity.

    Raises:
        ValueError: It is neither "column" nor "block".
    """
    known = get_args(Granularity)
    if granularity not in known:
        raise ValueError(f"granularity={granularity!r} is unknown; choose from {', '.join(known)}")


def block_count(channels: int) -> int:
    """B, for so many channels."""
    return -(-channels // BLOCK)


def block_slices(channels: int) -> list[slice]:
    """The channels of each block."""
    return [slice(c, min(c + BLOCK, channels)) for c in range(0, channels, BLOCK)]


def to_channels(x: Tensor, channels: int) -> Tensor:
    """Each block's entry for all of its channels: (B, ...) to (C_in, ...)."""
    return x.repeat_interleave(BLOCK, 0)[:channels]


def sum_channels(x: Tensor) -> Tensor:
    """The transpose of `to_channels`: (C_in, ...) to (B, ...)."""
    return torch.stack([x[c].sum(0) for c in block_slices(len(x))])
