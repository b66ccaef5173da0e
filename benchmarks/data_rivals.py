"""Clips without videowino: decoders by themselves, and the way that tutorials load video.

The straightforward way: a Dataset whose item opens a decord.VideoReader, takes the frames with
`get_batch`, and sends each one through torchvision's transforms, with one draw kept for all of
them; DataLoader with its defaults.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from videowino.compat import torchvision
from videowino.data.transforms import KINETICS_MEAN, KINETICS_STD

#: Name -> frames as PIL images, and decord's threads (0: as many as it likes, its default).
STRAIGHTFORWARD = {
    "PIL": (True, 1),
    "PIL, decord's threads": (True, 0),
    "tensors": (False, 1),
}


class Straightforward(Dataset):
    """Clips C T H W and labels, frame by frame.

    Args:
        paths: the videos; a file's place is its label.
        pil: frames are PIL images until `ToTensor`; else float tensors from the start.
        threads: decord's.
        frames: frames a clip.
        stride: their distance.
        size: height and width of the crop.
        resize: height and width before a random crop; None keeps the frame's own.
        scale: share of the frame of a random resized crop, in the place of both.
        flip: mirror half of the clips.
        color_jitter: strength of brightness, contrast and saturation changes.
    """

    def __init__(
        self,
        paths: list[Path],
        pil: bool,
        threads: int,
        *,
        frames: int = 16,
        stride: int = 1,
        size: tuple[int, int] = (112, 112),
        resize: tuple[int, int] | None = None,
        scale: tuple[float, float] | None = None,
        flip: bool = True,
        color_jitter: float = 0.0,
    ) -> None:
        v1 = torchvision.transforms
        self.paths, self.pil, self.threads = paths, pil, threads
        self.frames, self.stride = frames, stride
        self.size, self.scale, self.flip = size, scale, flip
        self.resize = v1.Resize(resize, antialias=True) if resize else None
        self.jitter = v1.ColorJitter(color_jitter, color_jitter, color_jitter)
        self.colours = color_jitter > 0
        self.to_tensor = v1.ToTensor()
        self.normalize = v1.Normalize(KINETICS_MEAN, KINETICS_STD)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """A random clip."""
        import decord
        from PIL import Image

        reader = decord.VideoReader(str(self.paths[index]), num_threads=self.threads)
        span = (self.frames - 1) * self.stride + 1
        start = random.randint(0, max(0, len(reader) - span))
        wanted = [min(start + self.stride * t, len(reader) - 1) for t in range(self.frames)]
        arrays = reader.get_batch(wanted).asnumpy()
        if self.pil:
            frames: list[Any] = [Image.fromarray(array) for array in arrays]
        else:
            frames = [torch.from_numpy(a).permute(2, 0, 1).float() / 255 for a in arrays]
        return self._transformed(frames), index

    def _transformed(self, frames: list[Any]) -> Tensor:
        functional, v1 = torchvision.transforms.functional, torchvision.transforms
        if self.resize is not None:
            frames = [self.resize(frame) for frame in frames]
        if self.scale is not None:
            box = v1.RandomResizedCrop.get_params(frames[0], list(self.scale), [3 / 4, 4 / 3])
            size = list(self.size)
            frames = [functional.resized_crop(f, *box, size, antialias=True) for f in frames]
        else:
            box = v1.RandomCrop.get_params(frames[0], self.size)
            frames = [functional.crop(frame, *box) for frame in frames]
        if self.flip and random.random() < 0.5:
            frames = [functional.hflip(frame) for frame in frames]
        if self.colours:
            jitter = self.jitter
            order, brightness, contrast, saturation, _ = v1.ColorJitter.get_params(
                jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue
            )
            for step in order.tolist():
                if step == 0:
                    frames = [functional.adjust_brightness(f, brightness) for f in frames]
                elif step == 1:
                    frames = [functional.adjust_contrast(f, contrast) for f in frames]
                elif step == 2:
                    frames = [functional.adjust_saturation(f, saturation) for f in frames]
        if self.pil:
            frames = [self.to_tensor(frame) for frame in frames]
        return torch.stack([self.normalize(frame) for frame in frames], dim=1)


def straightforward_loader(
    name: str, paths: list[Path], batch_size: int, workers: int, recipe: dict[str, Any]
) -> DataLoader:
    """A loader of `STRAIGHTFORWARD[name]`."""
    pil, threads = STRAIGHTFORWARD[name]
    return DataLoader(
        Straightforward(paths, pil, threads, **recipe),
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


# Decoders by themselves, each on one thread: (path, first frame, number of frames) -> T H W C.


def decord_alone(path: Path, start: int, count: int) -> np.ndarray:
    """Open, and get_batch."""
    import decord

    return (
        decord.VideoReader(str(path), num_threads=1)
        .get_batch(list(range(start, start + count)))
        .asnumpy()
    )


def pyav_alone(path: Path, start: int, count: int) -> np.ndarray:
    """Open, go to the key frame before, decode on, convert what is wanted."""
    import av

    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        rate, base, zero = stream.average_rate, stream.time_base, stream.start_time or 0
        assert rate is not None and base is not None
        first = zero + int(start / rate / base)
        if start:
            container.seek(first, stream=stream)
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts < first:
                continue
            frames.append(frame.to_ndarray(format="rgb24", threads=1))
            if len(frames) == count:
                break
    return np.stack(frames)


def torchcodec_alone(path: Path, start: int, count: int) -> np.ndarray:
    """Open, and get_frames_in_range."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(
        str(path), num_ffmpeg_threads=1, seek_mode="approximate", dimension_order="NHWC"
    )
    return decoder.get_frames_in_range(start, start + count).data.numpy()


def bare_decoders() -> tuple[dict[str, Callable[[Path, int, int], np.ndarray]], dict[str, str]]:
    """Those that are installed, and why others are left out."""
    every = {"decord": decord_alone, "pyav": pyav_alone, "torchcodec": torchcodec_alone}
    found: dict[str, Callable[[Path, int, int], np.ndarray]] = {}
    missing = {}
    for name, decode in every.items():
        package = "av" if name == "pyav" else name
        if importlib.util.find_spec(package) is None:
            missing[f"{name} alone"] = f"{package} is not installed"
            continue
        try:
            importlib.import_module(package)
        except (ImportError, OSError, RuntimeError) as error:
            missing[f"{name} alone"] = str(error).splitlines()[0][:200]
        else:
            found[f"{name} alone"] = decode
    return found, missing
