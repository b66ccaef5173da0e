"""Clips of listed videos as tensors, and the sampler that gives each its random seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import BatchSampler, Dataset, DistributedSampler

from videowino.data.decoding import FrameReader, KeptVideo, open_video
from videowino.data.sampling import ClipSampler
from videowino.data.splits import Video


class EpochSampler(DistributedSampler):
    """Shuffled (index, seed) pairs that depend on (seed, epoch) alone.

    Everything random about a training sample follows from its seed, so an epoch is the same for
    any number of workers, and after a resume. Lightning calls `set_epoch` before each epoch, and
    leaves a DistributedSampler as it is in multi-process training.

    Args:
        length: number of samples.
        seed: the run's data seed.
        num_replicas: processes that share an epoch.
        rank: this process.
    """

    def __init__(self, length: int, seed: int = 0, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(range(length), num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        seeds = sample_seeds(self.seed, self.epoch, len(self.dataset))  # type: ignore[arg-type]
        order = super().__iter__()
        return ((index, int(seeds[index])) for index in order)


class EvenBatches(BatchSampler):
    """As many batches as needed, of sizes that differ by one at most.

    A last batch of two clips would move batch norm's running statistics, and the weights, by noise
    just before they are saved; here all clips are seen and no batch is small.

    Args:
        sampler: the samples of an epoch.
        batch_size: samples a batch, at most.
        start: epoch and batch that a resumed training goes on with.
        same: give the first epoch again and again, to overfit on a few batches.
    """

    sampler: EpochSampler

    def __init__(
        self,
        sampler: EpochSampler,
        batch_size: int,
        start: tuple[int, int] = (0, 0),
        same: bool = False,
    ) -> None:
        super().__init__(sampler, batch_size, drop_last=False)
        # Loaders fetch ahead as soon as there is one, before Lightning says which epoch it is.
        sampler.set_epoch(start[0])
        self.start, self.same = start, same

    def __iter__(self) -> Iterator[list[Any]]:
        if self.same:
            self.sampler.set_epoch(0)
        samples = list(self.sampler)
        count = len(self)
        epoch, first = self.start
        for batch in range(first if self.sampler.epoch == epoch else 0, count):
            start, stop = (len(samples) * edge // count for edge in (batch, batch + 1))
            yield samples[start:stop]


def sample_seeds(seed: int, epoch: int, length: int) -> np.ndarray:
    """One seed for each sample of an epoch, below 2**63."""
    return np.random.SeedSequence([seed, epoch]).generate_state(length, np.uint64) >> np.uint64(1)


class VideoDataset(Dataset):
    """Decoded, sampled and transformed clips.

    Args:
        videos: files and labels.
        sampler: which frames make a clip.
        transform: a `TrainTransform` for training; K T C H W uint8 ->
            (crops, K, C, T, H, W) float32 where `clips` is given.
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

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, object]:
        """The sample {"clip", "label", "video"}.

        Args:
            key: an index, or (index, seed) from an `EpochSampler`.

        Raises:
            FileNotFoundError, ValueError: the file cannot be used; one line with its path.
        """
        index, seed = key if isinstance(key, tuple) else (key, key)
        video = self.videos[index]
        reader = self._open(index)
        try:
            if self.clips is None:
                clip, label = self._train_clip(reader, seed, video.label)
            else:
                clip, label = self._views(reader), video.label
        except ValueError as error:
            text = str(error)
            raise ValueError(text if str(video.path) in text else f"{video.path}: {text}") from None
        return {"clip": clip, "label": label, "video": index}

    def _open(self, index: int) -> FrameReader:
        if index in self._kept:
            return self._kept[index]
        reader = open_video(self.videos[index].path, self.decoder)
        if reader.num_bytes > self._room:
            return reader
        self._room -= reader.num_bytes
        self._kept[index] = KeptVideo(reader)
        return self._kept[index]

    def _train_clip(self, reader: FrameReader, seed: int, label: int) -> tuple[torch.Tensor, int]:
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: the loader may run in the main process, whose GPU generators
            # are the network's.
            torch.default_generator.manual_seed(seed)
            frames = reader.get_frames(self.sampler.train(reader.num_frames))
            return self.transform.labelled(frames, label)  # type: ignore[operator]

    def _views(self, reader: FrameReader) -> torch.Tensor:
        """V C T H W, the crops of the first clip first; the video is decoded once."""
        assert self.clips is not None
        indices = self.sampler.test(reader.num_frames, self.clips)
        frames = reader.get_frames(indices.flatten())
        return self.transform(frames.unflatten(0, indices.shape)).flatten(0, 1)
