"""A network on a test list, by several protocols at once: every video decoded once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from videowino.data import VideoDataModule
from videowino.data.normalize import normaliser
from videowino.data.scores import unreadable
from videowino.evaluation.accuracy import Accuracy, AccuracyMeter, accuracy_of
from videowino.evaluation.merging import gather_predictions, merge_predictions
from videowino.evaluation.protocols import Average, Protocol
from videowino.evaluation.views import ViewPlan, Views


@dataclass(frozen=True)
class Throughput:
    """How fast a test went, in clips (views) a second.

    Attributes:
        network: of the forward passes alone: median over batches, after one that does not count.
        with_loading: of the whole test, from the first file opened on.
        clips: that the network saw. Views that protocols share are computed once.
        batch_size: clips in a forward pass.
        workers: processes that decoded meanwhile, on the same cores.
    """

    network: float
    with_loading: float
    clips: int
    batch_size: int
    workers: int


@dataclass(frozen=True)
class ProtocolRun:
    """What came of it: an accuracy a protocol, the clip's shape (C, T, H, W), and the speed."""

    accuracies: dict[Protocol, Accuracy]
    clip_shape: tuple[int, ...]
    throughput: Throughput


def run_protocols(
    model: nn.Module,
    data: VideoDataModule,
    protocols: Sequence[Protocol],
    *,
    average: Average = "probabilities",
    batch_size: int = 16,
    same_size: bool = False,
    device: torch.device | str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> ProtocolRun:
    """Tests a network by each protocol.

    Memory is bounded: a loading process holds a video's clips resized (uint8), here are those of
    the videos in one forward pass, and only that pass's views are floats.

    Args:
        model: on `device`, in evaluation mode: N C T H W -> logits.
        data: set up for "test".
        protocols: one or more.
        average: what a video's views are averaged by.
        batch_size: clips in a forward pass.
        same_size: fill up the last pass, for deployed networks, which measure every size anew.
        device: where the network is.
        progress: called with the videos that are done.

    Raises:
        ValueError: outputs that are not finite, frames smaller than the network's, or more
            unreadable videos than `data` allows.
    """
    settings = data.hparams
    size = (int(settings["size"][0]), int(settings["size"][1]))
    plan = ViewPlan(protocols, size)
    meters = {protocol: AccuracyMeter(data.num_classes, average) for protocol in protocols}
    passes = _Passes(model, data, batch_size, same_size, torch.device(device))
    passes.warm_up()
    waiting: deque[tuple[_Video, int]] = deque()
    start = time.perf_counter()

    def compute(videos: Sequence[tuple[_Video, int]]) -> None:
        views = [video.views.distinct[at].cut(video.clips, size) for video, at in videos]
        for (video, at), logits in zip(videos, passes(torch.stack(views))):
            if video.take(at, logits):
                video.count(meters)
                if progress is not None:
                    progress(1)

    with torch.inference_mode():
        for batch in map(data.take_bad, data.resized_dataloader(plan.clips)):
            for at, bad in enumerate(unreadable(batch).tolist()):
                label, index = batch["label"][at : at + 1], batch["video"][at : at + 1]
                if bad:
                    _count_unreadable(meters, label, index, data.num_classes)
                    if progress is not None:
                        progress(1)
                    continue
                clips = batch["clip"][at]
                video = _Video(clips, label, index, plan.views(*clips.shape[-2:]))
                waiting.extend((video, view) for view in range(len(video.views.distinct)))
            while len(waiting) >= batch_size:
                compute([waiting.popleft() for _ in range(batch_size)])
        if waiting:
            compute(list(waiting))
    seconds = time.perf_counter() - start
    videos = data.videos("test")
    return ProtocolRun(
        accuracies={
            protocol: accuracy_of(merge_predictions(gather_predictions(meter.predictions), videos))
            for protocol, meter in meters.items()
        },
        clip_shape=passes.clip_shape,
        throughput=passes.throughput(seconds, data.num_workers),
    )


class _Video:
    """One whose views are computed a few at a time."""

    def __init__(self, clips: Tensor, label: Tensor, index: Tensor, views: Views) -> None:
        self.clips, self.label, self.index, self.views = clips, label, index, views
        self._logits: dict[int, Tensor] = {}

    def take(self, at: int, logits: Tensor) -> bool:
        """Note the logits of a view; whether it was the last one."""
        self._logits[at] = logits
        return len(self._logits) == len(self.views.distinct)

    def count(self, meters: dict[Protocol, AccuracyMeter]) -> None:
        logits = torch.stack([self._logits[at] for at in range(len(self._logits))])
        for protocol, meter in meters.items():
            meter.update(logits[self.views.of[protocol]][None], self.label, self.index)


class _Passes:
    """Forward passes, timed."""

    def __init__(
        self,
        model: nn.Module,
        data: VideoDataModule,
        batch_size: int,
        same_size: bool,
        device: torch.device,
    ) -> None:
        settings = data.hparams
        self.model, self.device = model, device
        self.batch_size, self.same_size = batch_size, same_size
        self.normalise = normaliser(
            settings["mean"], settings["std"], settings["subtract_background"]
        )
        self.clip_shape = (3, settings["frames"], *settings["size"])
        self.rates: list[tuple[int, float]] = []

    def __call__(self, views: Tensor) -> Tensor:
        """views: n T C H W uint8 -> logits (n, classes) on the CPU."""
        count = len(views)
        clips = self.normalise(views.to(self.device, non_blocking=True))
        if self.same_size and count < self.batch_size:
            rest = clips[-1:].expand(self.batch_size - count, *clips.shape[1:])
            clips = torch.cat([clips, rest])
        start = self._now()
        logits = self.model(clips)
        self.rates.append((count, self._now() - start))
        return logits[:count].float().cpu()

    def warm_up(self) -> None:
        """What is made or measured at the first pass is."""
        clips = torch.zeros(self.batch_size, *self.clip_shape, device=self.device)
        with torch.inference_mode():
            self.model(clips)

    def throughput(self, seconds: float, workers: int) -> Throughput:
        full = [n / s for n, s in self.rates if n == self.batch_size]
        clips = sum(n for n, _ in self.rates)
        computing = sum(s for _, s in self.rates)
        return Throughput(
            network=median(full) if full else clips / computing if clips else 0.0,
            with_loading=clips / seconds,
            clips=clips,
            batch_size=self.batch_size,
            workers=workers,
        )

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _count_unreadable(
    meters: dict[Protocol, AccuracyMeter], label: Tensor, index: Tensor, num_classes: int
) -> None:
    for protocol, meter in meters.items():
        nothing = torch.zeros(1, protocol.views, num_classes)
        meter.update(nothing, label, index, torch.ones(1, dtype=torch.bool))
