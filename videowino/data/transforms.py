"""Frames to network input, with one random draw a clip, by torchvision.transforms.v2.

Frames stay uint8 until they are as small as the network wants them.
Shapes: frames T C H W uint8 (K T C H W for K clips); a clip C T H W float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from videowino.compat import torchvision

v2 = torchvision.transforms.v2

# torchvision's Kinetics-400 video weights: the ones most fine-tuning here starts from.
KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)


def train_transform(
    *,
    size: tuple[int, int],
    resize: int | tuple[int, int] | None = None,
    scale: tuple[float, float] | None = None,
    stretch: float = 4 / 3,
    flip: bool = True,
    color_jitter: float = 0.0,
    random_erasing: float = 0.0,
    mean: Sequence[float] | None = KINETICS_MEAN,
    std: Sequence[float] = KINETICS_STD,
    subtract_background: bool = False,
) -> nn.Module:
    """Training: resize, random crop, flip, colour jitter, normalise, erase; C T H W float32.

    Args:
        size: height and width of the crop.
        resize: height and width, or the short side, to resize to before the crop; None keeps the
            frame's own.
        scale: share of the frame's area to crop, drawn from this range and resized to `size`
            (Inception-style); takes the place of `resize` and the crop.
        stretch: with `scale`, by how much the crop may be wider or higher than `size`'s shape.
        flip: mirror half of the clips. Wrong where left and right differ in meaning.
        color_jitter: strength of brightness, contrast and saturation changes.
        random_erasing: probability to blank a rectangle, the same in all frames.
        mean: per-channel mean of frames in [0, 1]; None takes each clip's own mean and deviation.
        std: per-channel standard deviation.
        subtract_background: leave only what moves (`MotionNormalize`); wants `mean` None.
    """
    steps: list[nn.Module] = []
    if scale is not None:
        shape = size[1] / size[0]
        ratio = (shape / stretch, shape * stretch)
        steps.append(
            v2.RandomResizedCrop(list(size), scale=tuple(scale), ratio=ratio, antialias=True)
        )
    else:
        steps += _resized(resize)
        steps += [_AtLeast(size), v2.RandomCrop(list(size))]
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    if color_jitter:
        steps.append(v2.ColorJitter(color_jitter, color_jitter, color_jitter))
    steps += _normalised(mean, std, subtract_background)
    if random_erasing:
        steps.append(v2.RandomErasing(random_erasing))
    return nn.Sequential(*steps, TimeSecond())


def eval_transform(
    *,
    size: tuple[int, int],
    resize: int | tuple[int, int] | None = None,
    crops: int = 1,
    mirror: bool = False,
    mean: Sequence[float] | None = KINETICS_MEAN,
    std: Sequence[float] = KINETICS_STD,
    subtract_background: bool = False,
) -> nn.Module:
    """Evaluation: resize, then the centre crop or three along the longer side.

    It takes (..., T, C, H, W) and gives (crops, ..., C, T, H, W), the crops from left to right or
    top to bottom; with `mirror`, the same once more, mirrored.
    """
    steps = [*_resized(resize), _Crops(size, crops)]
    if mirror:
        steps.append(_WithMirrored())
    return nn.Sequential(*steps, *_normalised(mean, std, subtract_background), TimeSecond())


class TimeSecond(nn.Module):
    """... T C H W -> ... C T H W."""

    def forward(self, frames: Tensor) -> Tensor:
        """Swap time and channels; a view."""
        return frames.transpose(-4, -3)


class ClipNormalize(nn.Module):
    """Zero mean and unit deviation over all pixels, frames and channels of each clip.

    Lighting and contrast then say nothing, which helps where they differ between sources and
    training clips are few.
    """

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (..., T, C, H, W) float32."""
        dims = (-4, -3, -2, -1)
        mean = frames.mean(dims, keepdim=True)
        # A black clip has no deviation; 1e-3 is a quarter of a grey level of 256.
        return (frames - mean) / (frames.std(dims, keepdim=True, correction=0) + 1e-3)


class MotionNormalize(nn.Module):
    """Each pixel less its mean over the clip's frames, to unit deviation over the clip.

    For cameras that stand still: what does not move, a face or a room that training has not seen,
    then says nothing.
    """

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (..., T, C, H, W) float32."""
        motion = frames - frames.mean(-4, keepdim=True)
        # Nothing moves in a still clip; 1e-2 keeps the noise of one from filling the range.
        return motion / (motion.std((-4, -3, -2, -1), keepdim=True, correction=0) + 1e-2)


class _WithMirrored(nn.Module):
    def forward(self, views: Tensor) -> Tensor:
        """Views (crops, ...) -> (2 crops, ...)."""
        return torch.cat([views, views.flip(-1)])


class _Crops(nn.Module):
    def __init__(self, size: tuple[int, int], crops: int) -> None:
        super().__init__()
        if crops not in (1, 3):
            raise ValueError(f"data.crops={crops}: 1 (centre) or 3 (along the longer side)")
        self.size, self.crops = size, crops

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (..., T, C, H, W) -> (crops, ..., T, C, height, width)."""
        height, width = self.size
        free_h, free_w = frames.shape[-2] - height, frames.shape[-1] - width
        _check_size(frames, self.size)
        if self.crops == 1:
            corners = [(free_h // 2, free_w // 2)]
        elif free_w >= free_h:
            corners = [(free_h // 2, left) for left in (0, free_w // 2, free_w)]
        else:
            corners = [(top, free_w // 2) for top in (0, free_h // 2, free_h)]
        return torch.stack([frames[..., y : y + height, x : x + width] for y, x in corners])


class _AtLeast(nn.Module):
    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, frames: Tensor) -> Tensor:
        _check_size(frames, self.size)
        return frames


def _check_size(frames: Tensor, size: tuple[int, int]) -> None:
    height, width = frames.shape[-2:]
    if height < size[0] or width < size[1]:
        raise ValueError(
            f"frames are {height}x{width} after data.resize, smaller than "
            f"data.size={size[0]}x{size[1]}: enlarge data.resize or crop less"
        )


def _resized(resize: int | tuple[int, int] | None) -> list[nn.Module]:
    if resize is None:
        return []
    sides = [resize] if isinstance(resize, int) else list(resize)
    return [v2.Resize(sides, antialias=True)]


def _normalised(
    mean: Sequence[float] | None, std: Sequence[float], subtract_background: bool
) -> list[nn.Module]:
    to_float = v2.ToDtype(torch.float32, scale=True)
    if mean is None:
        return [to_float, MotionNormalize() if subtract_background else ClipNormalize()]
    if subtract_background:
        raise ValueError(
            f"data.mean={list(mean)} has no use where data.subtract_background takes each pixel's "
            "own mean away: set data.mean to null"
        )
    return [to_float, v2.Normalize(list(mean), list(std), inplace=True)]
