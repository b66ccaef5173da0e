"""Grey levels to what a network takes: channels before time, float32, normalised, in one go.

Shapes: frames ... T C H W of grey levels 0 to 255, uint8 or float32, in any memory layout; a clip
... C T H W float32, contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_WHITE = 255.0
_DIMS = (-4, -3, -2, -1)


def planes(frames: Tensor) -> Tensor:
    """Frames ... T C H W -> a new clip ... C T H W of the same grey levels, contiguous float32.

    Decoders and resizing leave a pixel's channels side by side in memory; the arithmetic that
    follows is several times faster on whole planes, and so is collating a batch.
    """
    clip = frames.transpose(-4, -3)
    return torch.empty(clip.shape, dtype=torch.float32, device=clip.device).copy_(clip)


class Normalize(nn.Module):
    """By a fixed mean and deviation of each channel.

    Args:
        mean: per-channel mean of frames in [0, 1].
        std: per-channel standard deviation.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean = _WHITE * torch.tensor(mean, dtype=torch.float64)[:, None, None, None]
        self.scale = 1 / (_WHITE * torch.tensor(std, dtype=torch.float64)[:, None, None, None])

    def forward(self, frames: Tensor) -> Tensor:
        """... T C H W -> ... C T H W."""
        clip = planes(frames)
        return clip.sub_(self.mean.to(clip)).mul_(self.scale.to(clip))


class ClipNormalize(nn.Module):
    """Zero mean and unit deviation over all pixels, frames and channels of each clip.

    Lighting and contrast then say nothing, which helps where they differ between sources and
    training clips are few.
    """

    def forward(self, frames: Tensor) -> Tensor:
        """... T C H W -> ... C T H W."""
        clip = planes(frames).div_(_WHITE)
        clip.sub_(clip.mean(_DIMS, keepdim=True))
        # A black clip has no deviation; 1e-3 is a quarter of a grey level of 256.
        return clip.div_(_deviation(clip) + 1e-3)


class MotionNormalize(nn.Module):
    """Each pixel less its mean over the clip's frames, to unit deviation over the clip.

    For cameras that stand still: what does not move, a face or a room that training has not seen,
    then says nothing.
    """

    def forward(self, frames: Tensor) -> Tensor:
        """... T C H W -> ... C T H W."""
        clip = planes(frames).div_(_WHITE)
        clip.sub_(clip.mean(-3, keepdim=True))
        # Nothing moves in a still clip; 1e-2 keeps the noise of one from filling the range.
        return clip.div_(_deviation(clip) + 1e-2)


def normaliser(
    mean: Sequence[float] | None, std: Sequence[float], subtract_background: bool
) -> nn.Module:
    """What `mean`, `std` and `subtract_background` of the data modules ask for.

    Raises:
        ValueError: a mean that has no use.
    """
    if mean is None:
        return MotionNormalize() if subtract_background else ClipNormalize()
    if subtract_background:
        raise ValueError(
            f"data.mean={list(mean)} has no use where data.subtract_background takes each pixel's "
            "own mean away: set data.mean to null"
        )
    return Normalize(mean, std)


def _deviation(clip: Tensor) -> Tensor:
    """Of clips whose mean is zero: ... C T H W -> ... 1 1 1 1."""
    # Not vector_norm: its running sums are 1e-4 off over a clip.
    return clip.square().mean(_DIMS, keepdim=True).sqrt()
