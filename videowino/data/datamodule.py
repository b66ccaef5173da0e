"""The LightningDataModule that all data sets share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from videowino.cli import require
from videowino.data.bad_videos import BadVideos
from videowino.data.checks import check_transforms
from videowino.data.dataset import VideoDataset
from videowino.data.decoding import DECODERS
from videowino.data.flip import check_flip
from videowino.data.listed import ListedVideos, part_of
from videowino.data.position import START, Order, Position, epoch_is_over, restored
from videowino.data.samplers import EvenBatches, InOrder, Shuffled
from videowino.data.sampling import ClipSampler
from videowino.data.transforms import (
    KINETICS_MEAN,
    KINETICS_STD,
    eval_transform,
    resize_transform,
    train_transform,
)
from videowino.data.workers import deaf_to_signals, end_with_process


class VideoDataModule(ListedVideos):
    """Loaders of labelled clips; subclasses say what a root's classes and lists are.

    A training batch is {"clip": float32 (B, C, T, H, W), "label": int64 (B,), "video": int64 (B,)}.
    In evaluation "clip" is (B, V, C, T, H, W), the V = clips x crops views of one video; "video"
    is the place in `videos(stage)`. Where there are more processes than videos, some get a batch of
    none.

    Args:
        root: the data set's folder.
        split: number of the split list.
        frames: frames a clip.
        sampling: how clips are taken: "random", "uniform" or "dense" (`videowino.data.sampling`).
        stride: distance of a clip's frames, for random sampling.
        part: range of the video's share that a uniform training clip spans.
        size: height and width of the crop that the network sees.
        resize: height and width, or the short side, before the crop; None keeps the frames' own.
        batch_size: videos a batch and process, at most: batches are of even size, no small one
            last, and as many in each process.
        num_workers: processes that decode.
        clips: test clips a video; validation always takes one.
        crops: test crops a clip, 1, 3 or 10 (`crops_of`); validation always takes one.
        mirror: test each crop mirrored as well; validation never does.
        flip: mirror half of the training clips.
        flip_pairs: {class: class of its mirrored clips}, both ways; the label follows the flip.
        no_flip: classes whose clips are never mirrored.
        rand_augment: RandAugment's number of operations and their magnitude, 0 to 30, drawn once
            a training clip; None for none. The paper's choice for images is (2, 9).
        rand_augment_geometry: let it shear, shift and turn frames too, not only change colours.
        color_jitter: strength of brightness, contrast and saturation changes in training.
        random_erasing: probability to blank a rectangle of a training clip.
        scale: range of the crop's share of the frame, instead of resize and crop, in training.
        stretch: with `scale`, by how much a crop may be wider or higher than `size`'s shape.
        mean: per-channel mean of frames in [0, 1], Kinetics-400's by default; None normalises
            each clip by its own mean and deviation.
        std: per-channel standard deviation.
        subtract_background: leave only what moves, by taking each pixel's mean over the clip away;
            for cameras that stand still. Wants `mean` None.
        decoder: "auto" (PyAV), "decord", "pyav" or "torchcodec".
        short_clips: what a video with too few frames is: "error", "loop" or "last".
        missing: what a listed clip that is not on disk is: "warn" (left out) or "error".
        max_bad: share of a part's videos that may be unreadable (broken, too short, hanging), ten
            at least but never half, or 0 for none: in training other clips take their places, in
            tests they count as wrong. Above it the run stops: a set that lacks a twentieth of its
            clips is another set.
        decode_timeout: seconds after which a video that is opened or decoded counts as unreadable;
            0 waits for ever. A minute is a hundred times what a clip takes.
        exclude: list of videos to leave out (`videowino.data.exclusions`), as verify writes it.
        val_fraction: share of the training list, in whole groups, to validate on; 0 validates on
            the test list, which is the field's protocol.
        seed: seed of shuffling, clip choice, augmentation and `val_fraction`.
        limit_per_class: use at most so many videos of each class.
        cache_gb: memory that each loading process may keep decoded videos in.
    """

    # A process without videos has an empty batch, so that none waits for it.
    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(
        self,
        *,
        root: str,
        split: int = 1,
        frames: int = 16,
        sampling: str = "random",
        stride: int = 1,
        part: tuple[float, float] = (1.0, 1.0),
        size: tuple[int, int] = (112, 112),
        resize: int | tuple[int, int] | None = (128, 171),
        batch_size: int = 8,
        num_workers: int = 2,
        clips: int = 1,
        crops: int = 1,
        mirror: bool = False,
        flip: bool = True,
        flip_pairs: dict[str, str] | None = None,
        no_flip: list[str] | None = None,
        rand_augment: tuple[int, int] | None = None,
        rand_augment_geometry: bool = True,
        color_jitter: float = 0.0,
        random_erasing: float = 0.0,
        scale: tuple[float, float] | None = None,
        stretch: float = 4 / 3,
        mean: tuple[float, float, float] | None = KINETICS_MEAN,
        std: tuple[float, float, float] = KINETICS_STD,
        subtract_background: bool = False,
        decoder: str = "auto",
        short_clips: str = "error",
        missing: str = "warn",
        max_bad: float = 0.05,
        decode_timeout: float = 60.0,
        exclude: str | None = None,
        val_fraction: float = 0.0,
        seed: int = 0,
        limit_per_class: int | None = None,
        cache_gb: float = 0.25,
    ) -> None:
        super().__init__(root, split, missing, exclude, val_fraction, limit_per_class, seed)
        self.save_hyperparameters()
        self.hparams["root"] = str(root)  # a checkpoint's hyper-parameters are plain types
        self.batch_size, self.num_workers = batch_size, num_workers
        self.clips, self.crops, self.decoder = clips, crops, decoder
        self.max_bad, self.decode_timeout, self._size = max_bad, decode_timeout, size
        self.cache_gb = cache_gb
        require(batch_size >= 1, f"data.batch_size={batch_size}: at least 1")
        require(num_workers >= 0, f"data.num_workers={num_workers}: 0 or more")
        check_transforms(
            size=size,
            resize=resize,
            scale=scale,
            stretch=stretch,
            rand_augment=rand_augment,
            color_jitter=color_jitter,
            random_erasing=random_erasing,
            std=std,
        )
        check_flip(flip, mirror or crops == 10, flip_pairs, no_flip)
        require(cache_gb >= 0, f"data.cache_gb={cache_gb}: 0 (keep nothing) or more")
        require(clips >= 1, f"data.clips={clips}: at least 1")
        require(0 <= max_bad <= 1, f"data.max_bad={max_bad}: a share, from 0 to 1")
        require(decode_timeout >= 0, f"data.decode_timeout={decode_timeout}: seconds, or 0")
        require(decoder in DECODERS, f"data.decoder={decoder!r}: one of {', '.join(DECODERS)}")
        self._sampler = ClipSampler(frames, stride, sampling, short_clips, part)
        normalisation: dict[str, Any] = {
            "mean": mean,
            "std": std,
            "subtract_background": subtract_background,
        }
        self._train_transform = train_transform(
            size=size,
            resize=resize,
            scale=scale,
            stretch=stretch,
            flip=flip,
            flip_pairs=flip_pairs,
            no_flip=no_flip,
            rand_augment=rand_augment,
            rand_augment_geometry=rand_augment_geometry,
            color_jitter=color_jitter,
            random_erasing=random_erasing,
            **normalisation,
        )
        self._val_transform = eval_transform(size=size, resize=resize, **normalisation)
        self._test_transform = eval_transform(
            size=size, resize=resize, crops=crops, mirror=mirror, **normalisation
        )
        self._start = START
        self._training: EvenBatches | None = None
        self._bad: dict[str, BadVideos] = {}

    # What it may change.

    def order(self, part: str, shuffled: bool) -> Order:
        """In which order the videos of a part are seen."""
        length = len(self.videos(part))
        return Shuffled(length, self.seed) if shuffled else InOrder(length)

    def dataset(
        self, part: str, transform: nn.Module, clips: int | Sequence[int] | None = None
    ) -> VideoDataset:
        """Samples of a part: random clips for training, else `clips` of each video."""
        return VideoDataset(self.videos(part), **self.sample_options(part, transform, clips))

    def sample_options(
        self, part: str, transform: nn.Module, clips: int | Sequence[int] | None
    ) -> dict[str, Any]:
        """What a `VideoDataset` takes beside the videos."""
        return {
            "sampler": self._sampler,
            "transform": transform,
            "decoder": self.decoder,
            "clips": clips,
            "cache_gb": self.cache_gb,
            "blank": self._size,
            "timeout": self.decode_timeout,
            "part": part,
        }

    # What it gets.

    def setup(self, stage: str) -> None:
        """Read the lists, and see that there is something to do."""
        videos = self.videos(stage)
        if stage == "validate" and not videos:
            raise ValueError(f"data.split={self.split}: there is no clip to validate on")
        if stage == "fit" and not self.videos("val"):
            warnings.warn(
                f"no clip of the test list is in {self.root}: training runs without validation; "
                "data.val_fraction takes some from the training list",
                stacklevel=2,
            )

    def train_dataloader(self) -> DataLoader:
        """Shuffled random clips, each once an epoch in all processes together.

        Raises:
            ValueError: `flip_pairs` or `no_flip` names a class that is not there.
        """
        self._train_transform.name_classes(self.class_names)
        dataset = self.dataset("train", self._train_transform)
        same = getattr(self.trainer, "overfit_batches", 0) > 0
        loader = self._loader(dataset, self.order("train", shuffled=True), self._start, same)
        assert isinstance(loader.sampler, EvenBatches)
        self._training = loader.sampler
        return loader

    def bad_videos(self, stage: str) -> BadVideos:
        """Those of a stage (as of `videos`) that turned out to be unreadable so far."""
        part = part_of(stage)
        if part not in self._bad:
            self._bad[part] = BadVideos(part, self.videos(part), self.max_bad, self.root)
        return self._bad[part]

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Names and counts unreadable videos; Lightning calls it with every batch."""
        return self.take_bad(batch) if isinstance(batch, dict) else batch

    def take_bad(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch without what it tells of unreadable videos, which are named and counted.

        Raises:
            ValueError: there are more of them than `max_bad` allows.
        """
        for part, index, reason in batch.pop("bad", ()):
            self.bad_videos(part).add(index, reason)
        return batch

    def state_dict(self) -> dict[str, Any]:
        """What of which epoch a training resumed from a checkpoint has seen."""
        loop: Any = self.trainer.fit_loop  # type: ignore[union-attr]
        epoch, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        if epoch_is_over(loop) or self._training is None:
            return Position(epoch.started).state()
        return self._training.position(epoch.processed, batches.ready).state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there; the epochs after it are whole again.

        Raises:
            ValueError: it is not what `state_dict` gave.
        """
        self._start = restored(state_dict)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """The middle clip of each validation video, centre crop; [] where there are no videos."""
        return self._eval_loader("val", 1, self._val_transform) if self.videos("val") else []

    def test_dataloader(self) -> DataLoader:
        """All views of each test video."""
        return self._eval_loader("test", self.clips, self._test_transform)

    def resized_dataloader(self, clips: Sequence[int]) -> DataLoader:
        """Test clips before they are cropped, for views of several protocols from one decoding.

        "clip" is uint8 (B, K, T, C, H, W), the K clips those of each number in `clips`.
        """
        transform = resize_transform(self._size, self.hparams["resize"])
        return self._eval_loader("test", clips, transform)

    def predict_dataloader(self) -> DataLoader:
        """The same as `test_dataloader`."""
        return self.test_dataloader()

    def _eval_loader(
        self, part: str, clips: int | Sequence[int], transform: nn.Module
    ) -> DataLoader:
        dataset = self.dataset(part, transform, clips)
        return self._loader(dataset, self.order(part, shuffled=False))

    def _loader(
        self,
        dataset: VideoDataset,
        order: Order,
        start: Position = START,
        same: bool = False,
    ) -> DataLoader:
        trainer = self.trainer
        batches = EvenBatches(
            order,
            self.batch_size,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            ranks=trainer.world_size if trainer else 1,
            start=start,
            same=same,
        )
        dataset.follow(batches)
        end_with_process()
        return DataLoader(
            dataset,
            sampler=batches,
            batch_size=None,  # the sampler makes the batches
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=deaf_to_signals,
            pin_memory=torch.cuda.is_available(),
            # Of its own: a loader draws from its generator at each start, and the global one is
            # the network's.
            generator=torch.Generator().manual_seed(self.seed),
        )
