"""Trained networks by the published protocols: their splits' test videos, in several views each."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from videowino.data import VideoDataModule
from videowino.evaluation.accuracy import Accuracy, evaluate
from videowino.evaluation.networks import Network, data_of
from videowino.evaluation.views import Views
from videowino.training.checkpoint import load_classifier


@dataclass(frozen=True)
class Outcome:
    """One network on its split, in some views.

    Attributes:
        checkpoint: its file.
        split: whose test list.
        views: of each video.
        accuracy: with a prediction for each video.
        videos: their files.
        seconds: of the test.
        loading: of these, waiting for clips.
    """

    checkpoint: str
    split: int
    views: Views
    accuracy: Accuracy
    videos: tuple[str, ...]
    seconds: float
    loading: float

    @property
    def clips_per_second(self) -> float:
        """Views a second through loading and network."""
        return self.accuracy.clips / self.seconds

    @property
    def network_clips_per_second(self) -> float:
        """Views a second through the network alone."""
        return self.accuracy.clips / max(self.seconds - self.loading, 1e-9)

    @property
    def figures(self) -> dict[str, Any]:
        """As JSON has them; predictions stand elsewhere."""
        accuracy = {k: v for k, v in asdict(self.accuracy).items() if k != "predictions"}
        return {
            "checkpoint": self.checkpoint,
            "split": self.split,
            "views": str(self.views),
            **accuracy,
            "unreadable": self.accuracy.unreadable,
            "clips_per_second": self.clips_per_second,
            "network_clips_per_second": self.network_clips_per_second,
        }


@dataclass(frozen=True)
class Figure:
    """A mean over splits, in percent.

    Attributes:
        mean: of the splits' figures.
        spread: their standard deviation; None for one split.
    """

    mean: float
    spread: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Of one value or more."""
        spread = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), spread)

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + ("" if self.spread is None else f" ± {self.spread:.1f}")


@dataclass(frozen=True)
class Summary:
    """What several networks reach in the same views, one a split."""

    views: Views
    video_top1: Figure
    video_top5: Figure | None
    clip_top1: Figure
    clip_top5: Figure | None


def summarize(tested: Sequence[Outcome]) -> list[Summary]:
    """One summary for each of the views, in the order they come in."""
    found = []
    for views in dict.fromkeys(one.views for one in tested):
        accuracies = [one.accuracy for one in tested if one.views == views]
        figures: dict[str, Any] = {}
        for name in ("video_top1", "video_top5", "clip_top1", "clip_top5"):
            values = [getattr(accuracy, name) for accuracy in accuracies]
            figures[name] = None if None in values else Figure.of(values)
        found.append(Summary(views, **figures))
    return found


def run_network(
    model: nn.Module,
    data: VideoDataModule,
    checkpoint: str,
    views: Views,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> Outcome:
    """Test a network on the test list of a split.

    Args:
        model: in evaluation mode.
        data: set up for "test", with the clips and crops of `views`.
        checkpoint: the model's file.
        views: of each video.
        device: where the network runs.
        progress: called with the number of videos done after each batch.
    """
    clock = _Clock(map(data.take_bad, data.test_dataloader()))
    start = time.perf_counter()
    found = evaluate(
        {checkpoint: model.to(device)}, clock, data.num_classes, device=device, progress=progress
    )
    seconds = time.perf_counter() - start
    names = tuple(str(video.path) for video in data.videos("test"))
    split = int(getattr(data, "split", None) or data.hparams.get("split") or 1)
    return Outcome(checkpoint, split, views, found[checkpoint], names, seconds, clock.waited)


def run_all(
    checkpoints: Sequence[str],
    views: Sequence[Views],
    *,
    changes: Mapping[str, Any] | None = None,
    device: torch.device | str = "cpu",
    console: Console | None = None,
) -> tuple[list[Outcome], list[str]]:
    """Each checkpoint on its own split, in each of the views.

    Args:
        checkpoints: of one data set.
        views: of each video.
        changes: to the data settings of the checkpoints. Crops are not mirrored unless these say
            so: `views` says all.
        device: where the networks run.
        console: shows progress; None shows none.

    Returns:
        What was found, and the class names.

    Raises:
        ValueError: a checkpoint twice, or checkpoints of different classes.
    """
    if len(set(checkpoints)) < len(checkpoints):
        raise ValueError(f"checkpoints: one of {', '.join(checkpoints)} is given twice")
    tested: list[Outcome] = []
    names: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=console is None) as bar:
        for path in checkpoints:
            network = Network(path, "checkpoint", load_classifier(path).model, path)
            for wanted in views:
                how = {"mirror": False, **(changes or {})}
                data = data_of([network], **how, clips=wanted.clips, crops=wanted.crops)
                if names and names != data.class_names:
                    raise ValueError(f"checkpoints: {path} has other classes than the first")
                names = data.class_names
                task = bar.add_task(f"{path}, {wanted} views", total=len(data.videos("test")))
                step = partial(bar.advance, task)
                model = network.model.eval()
                tested.append(run_network(model, data, path, wanted, device=device, progress=step))
    splits = [one.split for one in tested if one.views == views[0]]
    if len(set(splits)) < len(splits):
        warnings.warn(
            f"the checkpoints are of splits {splits}: a mean over splits wants each once",
            stacklevel=2,
        )
    return tested, names


class _Clock:
    """Batches, and how long they were waited for."""

    def __init__(self, batches: Iterable[Mapping[str, Tensor]]) -> None:
        self.batches, self.waited = batches, 0.0

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        batches = iter(self.batches)
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch
