"""Frames to network input, with one random draw a clip, by torchvision.transforms.v2.

Frames stay uint8 until they are as small as the network wants them.
Shapes: frames T C H W uint8 (K T C H W for K clips); a clip C T H W float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from videowino.compat import torchvision
from videowino.data.augment import ColorJitter, RandAugment
from videowino.data.crops import Crops, check_size
from videowino.data.flip import Flip
from videowino.data.normalize import normaliser

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
    flip_pairs: Mapping[str, str] | None = None,
    no_flip: Sequence[str] | None = None,
    rand_augment: tuple[int, int] | None = None,
    rand_augment_geometry: bool = True,
    color_jitter: float = 0.0,
    random_erasing: float = 0.0,
    mean: Sequence[float] | None = KINETICS_MEAN,
    std: Sequence[float] = KINETICS_STD,
    subtract_background: bool = False,
) -> TrainTransform:
    """Training: resize, random crop, flip, RandAugment, colour jitter, normalise, erase.

    Args:
        size: height and width of the crop.
        resize: height and width, or the short side, to resize to before the crop; None keeps the
            frame's own.
        scale: share of the frame's area to crop, drawn from this range and resized to `size`
            (Inception-style); takes the place of `resize` and the crop.
        stretch: with `scale`, by how much the crop may be wider or higher than `size`'s shape.
        flip: mirror half of the clips.
        flip_pairs: class -> class of its mirrored clips, and the other way round.
        no_flip: classes that are never mirrored.
        rand_augment: RandAugment's number of operations and their magnitude, 0 to 30.
        rand_augment_geometry: let RandAugment shear, shift and turn frames too.
        color_jitter: strength of brightness, contrast and saturation changes.
        random_erasing: probability to blank a rectangle, the same in all frames.
        mean: per-channel mean of frames in [0, 1]; None takes each clip's own mean and deviation.
        std: per-channel standard deviation.
        subtract_background: leave only what moves (`MotionNormalize`); wants `mean` None.
    """
    place: list[nn.Module] = []
    if scale is not None:
        shape = size[1] / size[0]
        ratio = (shape / stretch, shape * stretch)
        place.append(
            v2.RandomResizedCrop(list(size), scale=tuple(scale), ratio=ratio, antialias=True)
        )
    else:
        place += [*_resized(resize), _AtLeast(size), v2.RandomCrop(list(size))]
    change: list[nn.Module] = []
    if rand_augment is not None:
        change.append(RandAugment(*rand_augment, rand_augment_geometry))
    if color_jitter:
        change.append(ColorJitter(color_jitter))
    change.append(normaliser(mean, std, subtract_background))
    if random_erasing:
        change.append(v2.RandomErasing(random_erasing, inplace=True))
    return TrainTransform(
        nn.Sequential(*place), Flip(flip_pairs, no_flip) if flip else None, nn.Sequential(*change)
    )


class TrainTransform(nn.Module):
    """T C H W uint8 -> C T H W float32, with one random draw a clip from torch's CPU generator.

    Args:
        place: which part of the frames, in which size.
        flip: mirrors; None does not.
        change: what happens to the colours, and normalises.
    """

    def __init__(self, place: nn.Module, flip: Flip | None, change: nn.Module) -> None:
        super().__init__()
        self.place, self.flip, self.change = place, flip, change

    def name_classes(self, class_names: Sequence[str]) -> None:
        """Say which classes there are, in label order: for `flip_pairs` and `no_flip`.

        Raises:
            ValueError: one of theirs is not there.
        """
        if self.flip is not None:
            self.flip.name_classes(class_names)

    def forward(self, frames: Tensor) -> Tensor:
        """A clip whose label stays what it is, mirrored or not.

        Raises:
            ValueError: it may not: classes were given to `flip_pairs` or `no_flip`.
        """
        if self.flip is not None and self.flip.needs_label:
            raise ValueError("flip_pairs, no_flip: mirroring goes by the label; call `labelled`")
        return self.labelled(frames, 0)[0]

    def labelled(self, frames: Tensor, label: int) -> tuple[Tensor, int]:
        """A clip and its label, that of its mirror image where it was mirrored."""
        frames = self.place(frames)
        if self.flip is not None:
            frames, label = self.flip(frames, label)
        return self.change(frames), label


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
    """Evaluation: resize, then the centre crop, three along the longer side, or ten (`crops_of`).

    It takes (..., T, C, H, W) and gives (crops, ..., C, T, H, W); with `mirror`, the same once
    more, mirrored.
    """
    steps = [*_resized(resize), Crops(size, crops, mirror)]
    return nn.Sequential(*steps, normaliser(mean, std, subtract_background))


def resize_transform(
    size: tuple[int, int], resize: int | tuple[int, int] | None = None
) -> nn.Module:
    """The first step of `eval_transform` alone: (K, T, C, H, W) -> (1, K, T, C, h, w) uint8.

    Frames that are then smaller than `size` are refused.
    """
    return nn.Sequential(*_resized(resize), _AtLeast(size), nn.Unflatten(0, (1, -1)))


class _AtLeast(nn.Module):
    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        check_size(height, width, self.size)
        return frames


def _resized(resize: int | tuple[int, int] | None) -> list[nn.Module]:
    if resize is None:
        return []
    sides = [resize] if isinstance(resize, int) else list(resize)
    return [v2.Resize(sides, antialias=True)]
