"""Test clips to look at: those the networks disagree on, and one of each class."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from videowino.data import VideoDataModule
from videowino.evaluation.comparison import VideoPredictions
from videowino.evaluation.page.content import Sample
from videowino.plots.clip_pixels import clip_pixels

_MOST = 112  # pixels of a frame's height
_FRAMES = 16
_QUALITY = 70  # of WebP


def choose(predictions: VideoPredictions, count: int) -> list[int]:
    """Places of the videos to show.

    Half of them those that some networks put in the wrong class and others in the right one, or
    that all are wrong about; the rest go through the classes in turn.

    Args:
        predictions: of all networks.
        count: as many, or all there are.
    """
    labels = predictions.labels
    right = [
        sum(said[video] == label for said in predictions.predicted.values())
        for video, label in enumerate(labels)
    ]
    unreadable = {v for said in predictions.predicted.values() for v, c in enumerate(said) if c < 0}
    readable = [video for video in range(len(labels)) if video not in unreadable]
    networks = len(predictions.predicted)
    # The most disputed first: half the networks right, half wrong.
    disputed = sorted(
        (video for video in readable if right[video] < networks),
        key=lambda video: (abs(2 * right[video] - networks), video),
    )[: (count + 1) // 2]
    seen: dict[int, int] = {}
    turns = []
    for video in readable:
        if video not in disputed:
            seen[labels[video]] = seen.get(labels[video], -1) + 1
            turns.append((seen[labels[video]], labels[video], video))
    return disputed + [video for _, _, video in sorted(turns)][: count - len(disputed)]


def samples_of(data: VideoDataModule, predictions: VideoPredictions, count: int) -> list[Sample]:
    """The chosen clips, as the networks see them: the first view of each.

    Args:
        data: set up for "test".
        predictions: of all networks.
        count: clips, at most.
    """
    places = {str(video.path): index for index, video in enumerate(data.videos("test"))}
    dataset = data.test_dataloader().dataset
    found = []
    for video in choose(predictions, count):
        index = places.get(predictions.videos[video])
        if index is not None:
            found.append(sample_of(video, dataset[index]["clip"][0]))
    return found


def sample_of(video: int, clip: Tensor) -> Sample:
    """A strip of the clip's frames: C T H W."""
    clip = clip.float()[:, _spread(clip.shape[1])]
    height, width = clip.shape[-2:]
    if height > _MOST:
        size = (_MOST, max(1, round(_MOST * width / height)))
        clip = F.interpolate(clip, size, mode="bilinear", antialias=True)
    strip = clip_pixels(clip).permute(2, 1, 3, 0).flatten(1, 2).contiguous()  # H T W C -> H (T W) C
    return Sample(video, _webp(strip), clip.shape[1], (clip.shape[2], clip.shape[3]))


def _spread(frames: int) -> Sequence[int]:
    return torch.linspace(0, frames - 1, min(frames, _FRAMES)).round().int().tolist()


def _webp(pixels: Tensor) -> str:
    """H W C uint8 -> data URI."""
    from PIL import Image

    file = io.BytesIO()
    channels = pixels.shape[-1]
    array = pixels.numpy() if channels == 3 else pixels[..., 0].numpy()
    Image.fromarray(array).save(file, "WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
