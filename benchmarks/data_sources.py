"""The videos that `benchmarks.data` reads: real clips where there are any, and made large ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F

from videowino.data import Video, VideoDataModule
from videowino.data.decoding import open_video

#: Recipe -> arguments of the data modules.
RECIPES: dict[str, dict[str, Any]] = {
    "ucf101": {"resize": (128, 171)},
    "folder": {"scale": (0.5, 1.0), "color_jitter": 0.3},
}
_FEW = 24  # files of a source
_MADE = {"made 1280x720": (720, 1280), "made 1920x1080": (1080, 1920)}
_FRAMES, _RATE, _KEY_EVERY = 90, 30, 30


@dataclass(frozen=True)
class Source:
    """Videos of one kind.

    Attributes:
        name: What they are called in tables.
        paths: The files.
        size: Height and width of the first one.
        frames: Its length.
    """

    name: str
    paths: list[Path]
    size: tuple[int, int]
    frames: int

    def __str__(self) -> str:
        """Name and size."""
        height, width = self.size
        size = f"{width}x{height}"
        return self.name if size in self.name else f"{self.name} {size}"


class Listed(VideoDataModule):
    """A data module of given files, so that what is measured is what trains.

    Args:
        paths: files; each is a class of its own, taken `times` times an epoch.
        times: how often.
        **kwargs: `VideoDataModule`'s.
    """

    def __init__(self, *, paths: list[str], times: int = 1, **kwargs: Any) -> None:
        super().__init__(root=str(Path(paths[0]).parent), **kwargs)
        self.paths, self.times = paths, times

    def read_class_names(self) -> list[str]:
        """The files' names, and one that makes two."""
        return [*self.paths, "none"]

    def read_split(self) -> tuple[list[Video], list[Video]]:
        """All of them, to train on."""
        videos = [Video(Path(p), label, str(p)) for label, p in enumerate(self.paths)]
        return videos * self.times, []


def find_sources(root: Path, made: Path) -> tuple[list[Source], dict[str, str]]:
    """The sources there are, and why others are left out.

    Args:
        root: folder with data sets, each with a folder `videos` of class folders.
        made: folder to encode the large ones in.
    """
    found, missing = [], {}
    for name in ("ucf101", "hmdb51", "survfight", "avletters"):
        paths = sorted((root / name / "videos").glob("*/*.*"))
        if paths:
            found.append(_source(name, paths[:: max(1, len(paths) // _FEW)][:_FEW]))
        else:
            missing[name] = f"no clips in {root / name / 'videos'}"
    for name, size in _MADE.items():
        paths = [made / f"{size[1]}x{size[0]}_{number}.mp4" for number in range(2)]
        for number, path in enumerate(paths):
            if not path.exists():
                make_clip(path, size, seed=number)
        found.append(_source(name, paths))
    return found, missing


def make_clip(path: Path, size: tuple[int, int], seed: int, frames: int = _FRAMES) -> None:
    """A camera that pans over a texture: H.264 as phones write it, a key frame a second."""
    height, width = size
    generator = torch.Generator().manual_seed(seed)
    texture = torch.zeros(1, 3, height, 2 * width)
    for cells in (8, 32, 128):  # coarse, and fine
        noise = torch.rand(1, 3, cells, 4 * cells, generator=generator)
        texture += F.interpolate(noise, size=texture.shape[-2:], mode="bicubic") * (8 / cells)
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    picture = (texture[0] * 255).byte().permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = _KEY_EVERY
        for number in range(frames):
            left = 5 * number % width
            frame = np.ascontiguousarray(picture[:, left : left + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def _source(name: str, paths: list[Path]) -> Source:
    reader = open_video(paths[0])
    height, width = reader.get_frames([0]).shape[-2:]
    return Source(name, paths, (height, width), reader.num_frames)
