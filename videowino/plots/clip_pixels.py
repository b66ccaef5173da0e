"""A normalised clip as grey levels to look at."""

from __future__ import annotations

from torch import Tensor


def clip_pixels(clip: Tensor) -> Tensor:
    """A clip of any shape as uint8, stretched from its least to its largest value.

    Normalisation cannot be undone where it was by the clip itself.
    """
    clip = clip.float()
    low, high = float(clip.min()), float(clip.max())
    return ((clip - low) / max(high - low, 1e-6) * 255).byte()
