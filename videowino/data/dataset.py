"""Clips of listed videos as tensors, one by one or in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, default_collate

from videowino.data.decode import DecodedVideo, FrameReader, open_video
from videowino.data.samplers import Batch, EvenBatches
from videowino.data.sampling import ClipSampler
from videowino.data.splits import Video


class VideoDataset(Dataset):
    """Decoded, sampled and transformed clips.

    Args:
        videos: files and labels.
        sampler: which frames make a clip.
        transform: T C H W uint8 -> C T H W float32 for training; K T C H W ->
            (crops, K, C, T, H, W) where `clips` is given.
        decoder: see `open_video`.
        clips: None for training (one random clip); else the number of test clips.
        cache_gb: memory for whole decoded videos, in each process that loads. Videos are kept as
            they come until it is full; a set of small videos is then decoded once.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        sampler: ClipSampler,
        transform: nn.Module,
        decoder: str = "auto",
        clips: int | None = None,
        cache_gb: float = 0.0,
    ) -> None:
        self.videos, self.sampler, self.transform = videos, sampler, transform
        self.decoder, self.clips = decoder, clips
        self._kept: dict[int, FrameReader] = {}
        self._room = int(cache_gb * 1e9)

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: int | tuple[int, int] | Batch) -> dict[str, Any]:
        """The sample {"clip", "label", "video"}, or a batch of them.

        Args:
            key: an index, (index, seed), or a batch of an `EvenBatches`.

        Raises:
            FileNotFoundError, ValueError: a file cannot be used; one line with its path.
        """
        if isinstance(key, Batch):
            return collate([self[sample] for sample in key.samples])
        index, seed = key if isinstance(key, tuple) else (key, key)
        name = self.name(index)
        reader = self._open(index)
        try:
            clip = self._train_clip(reader, seed) if self.clips is None else self._views(reader)
        except ValueError as error:
            text = str(error)
            raise ValueError(text if name in text else f"{name}: {text}") from None
        return {"clip": clip, "label": self.videos[index].label, "video": index}

    def follow(self, batches: EvenBatches) -> None:
        """Told which batches will be asked for; of use where clips are read ahead."""

    def name(self, index: int) -> str:
        """What messages call a video."""
        return str(self.videos[index].path)

    def read(self, index: int) -> FrameReader:
        """Open a video."""
        return open_video(self.videos[index].path, self.decoder)

    def _open(self, index: int) -> FrameReader:
        if index in self._kept:
            return self._kept[index]
        reader = self.read(index)
        if reader.num_bytes > self._room:
            return reader
        self._room -= reader.num_bytes
        self._kept[index] = DecodedVideo(reader)
        return self._kept[index]

    def _train_clip(self, reader: FrameReader, seed: int) -> torch.Tensor:
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: the loader may run in the main process, whose GPU generators
            # are the network's.
            torch.default_generator.manual_seed(seed)
            frames = reader.get_frames(self.sampler.train(reader.num_frames))
            return self.transform(frames)

    def _views(self, reader: FrameReader) -> torch.Tensor:
        """V C T H W, the crops of the first clip first; the video is decoded once."""
        assert self.clips is not None
        indices = self.sampler.test(reader.num_frames, self.clips)
        frames = reader.get_frames(indices.flatten())
        return self.transform(frames.unflatten(0, indices.shape)).flatten(0, 1)


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch {"clip": B ..., "label": B, "video": B}; without samples, three empty tensors."""
    if samples:
        return default_collate(samples)
    none = torch.zeros(0, dtype=torch.int64)
    return {"clip": torch.zeros(0), "label": none, "video": none.clone()}
