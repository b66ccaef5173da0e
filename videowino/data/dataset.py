"""Clips of listed videos as tensors; files that cannot be read do not end what reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from videowino.data.bad_videos import collate
from videowino.data.decoding import FrameReader, KeptVideo, open_video
from videowino.data.decoding.time_limit import TimeLimit
from videowino.data.samplers import Batch, EvenBatches
from videowino.data.sampling import ClipSampler
from videowino.data.splits import Video

_BAD = (ValueError, OSError)  # of a file: absent, broken, too short, hanging
_TRIES = 20  # other clips in the place of one
_TOGETHER = 256 << 20  # bytes of decoded frames, whole, at a time
T = TypeVar("T")


class VideoDataset(Dataset):
    """Decoded, sampled and transformed clips.

    Args:
        videos: files and labels.
        sampler: which frames make a clip.
        transform: a `TrainTransform` for training; K T C H W uint8 ->
            (crops, K, C, T, H, W) float32 where `clips` is given.
        decoder: see `open_video`.
        clips: None for training (one random clip); else the number of test clips, or several
            (`ClipSampler.test`).
        cache_gb: memory for whole decoded videos, in each process that loads. Videos are kept as
            they come until it is full; a set of small videos is then decoded once.
        blank: height and width of frames that stand for an unreadable test video: ones that the
            transform takes.
        timeout: seconds for opening a video and for decoding its frames each; 0 for any time.
        part: what the videos are, "train", "val" or "test".
    """

    def __init__(
        self,
        videos: Sequence[Video],
        sampler: ClipSampler,
        transform: nn.Module,
        decoder: str = "auto",
        clips: int | Sequence[int] | None = None,
        cache_gb: float = 0.0,
        blank: tuple[int, int] = (112, 112),
        timeout: float = 0.0,
        part: str = "train",
    ) -> None:
        self.videos, self.sampler, self.transform = videos, sampler, transform
        self.decoder, self.clips, self.blank = decoder, clips, blank
        self._limited, self.part = TimeLimit(timeout), part
        self._kept: dict[int, FrameReader] = {}
        self._bad: dict[int, str] = {}
        self._room = int(cache_gb * 1e9)

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: int | tuple[int, int] | Batch) -> dict[str, Any]:
        """The sample {"clip", "label", "video"}, or a batch of them.

        Where files could not be read there is also "bad", [(part, index, reason), ...]. In training
        another clip, drawn from the seed, is then the sample. In evaluation, whose samples have
        "unreadable" as well, it is black frames, for none may be left out.

        Args:
            key: an index, (index, seed), or a batch of an `EvenBatches`.

        Raises:
            ValueError: none of many other clips can be read either; one line with a path.
            ShardError: a shard is absent, altered or cannot be reached.
        """
        if isinstance(key, Batch):
            return collate([self[sample] for sample in key.samples])
        index, seed = key if isinstance(key, tuple) else (key, key)
        if self.clips is None:
            return self._training_sample(index, seed)
        label = self.videos[index].label
        sample = {"label": label, "video": index, "unreadable": False}
        try:
            return {"clip": self._try(index, self._views), **sample}
        except _BAD as error:
            bad = {"unreadable": True, "bad": [(self.part, index, str(error))]}
            return {"clip": self._black(), **sample, **bad}

    def follow(self, batches: EvenBatches) -> None:
        """Told which batches will be asked for; of use where clips are read ahead."""

    def name(self, index: int) -> str:
        """What messages call a video."""
        return str(self.videos[index].path)

    def opening(self, index: int) -> Callable[[], FrameReader]:
        """What opens a video, within the time limit; what it needs is read here, without one."""
        return lambda: open_video(self.videos[index].path, self.decoder)

    def _training_sample(self, index: int, seed: int) -> dict[str, Any]:
        bad: list[tuple[str, int, str]] = []
        for other in self._with_others(index, seed):
            label = self.videos[other].label
            try:
                clip, label = self._try(other, lambda reader: self._train_clip(reader, seed, label))  # noqa: B023
            except _BAD as error:
                bad.append((self.part, other, str(error)))
                continue
            return {"clip": clip, "label": label, "video": other} | ({"bad": bad} if bad else {})
        tried = len({other for _, other, _ in bad})
        raise ValueError(f"none of {tried} clips in a row can be read, the last: {bad[-1][2]}")

    def _with_others(self, index: int, seed: int) -> Iterator[int]:
        yield index
        yield from np.random.default_rng(seed).integers(len(self), size=_TRIES).tolist()

    def _try(self, index: int, make: Callable[[FrameReader], T]) -> T:
        """What is made of a video.

        Raises:
            ValueError: it cannot be read, now or before; one line with its path.
        """
        if index in self._bad:
            raise ValueError(self._bad[index])
        name = self.name(index)
        try:
            return make(self._open(index))
        except _BAD as error:
            text = str(error)
            if isinstance(error, TimeoutError):
                text = f"decoding {text} (data.decode_timeout)"
            self._bad[index] = text if name in text else f"{name}: {text}"
            raise ValueError(self._bad[index]) from None

    def _open(self, index: int) -> FrameReader:
        if index in self._kept:
            return self._kept[index]
        reader: FrameReader = self._limited(self.opening(index))
        if reader.num_bytes > self._room:
            return reader
        kept = self._limited(lambda: KeptVideo(reader))
        self._room -= reader.num_bytes
        self._kept[index] = kept
        return kept

    def _frames(self, reader: FrameReader, indices: torch.Tensor) -> torch.Tensor:
        if isinstance(reader, KeptVideo):
            return reader.get_frames(indices)
        return self._limited(lambda: reader.get_frames(indices))

    def _train_clip(self, reader: FrameReader, seed: int, label: int) -> tuple[torch.Tensor, int]:
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: the loader may run in the main process, whose GPU generators
            # are the network's.
            torch.default_generator.manual_seed(seed)
            frames = self._frames(reader, self.sampler.train(reader.num_frames))
            return self.transform.labelled(frames, label)  # type: ignore[operator]

    def _views(self, reader: FrameReader) -> torch.Tensor:
        """V C T H W, the first crops of all clips first; the video is decoded once."""
        assert self.clips is not None
        indices = self.sampler.test(reader.num_frames, self.clips)
        clip_bytes = self.sampler.frames * reader.num_bytes // max(1, reader.num_frames)
        views = [
            self.transform(self._frames(reader, some.flatten()).unflatten(0, some.shape))
            for some in indices.split(max(1, _TOGETHER // max(1, clip_bytes)))
        ]
        return torch.cat(views, 1).flatten(0, 1)

    def _black(self) -> torch.Tensor:
        """As `_views`, of nothing."""
        clips = self.sampler.test(self.sampler.span, self.clips or 1)
        shape = *clips.shape, 3, *self.blank
        return self.transform(torch.zeros(shape, dtype=torch.uint8)).flatten(0, 1)
