"""Clip-level and video-level accuracy of several networks over the same test views.

Every clip is decoded once and shown to all networks, so they are compared on the same samples to
the last pixel. Clip-level counts each view as a sample of its own; video-level averages the class
probabilities of a video's views and counts the video once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from videowino.data.scores import count_wrong, unreadable


@dataclass(frozen=True)
class Prediction:
    """What a network says about one video.

    Attributes:
        video: index into `datamodule.videos("test")`.
        label: its class.
        probabilities: (num_classes,) mean of the views' softmax.
        view_classes: the class each view alone is put in.
        unreadable: whether the video cannot be read, so that nothing is said and it is wrong.
    """

    video: int
    label: int
    probabilities: Tensor
    view_classes: tuple[int, ...]
    unreadable: bool = False


@dataclass(frozen=True)
class Accuracy:
    """Accuracy in percent; top-5 is None up to five classes, where it says nothing.

    Videos that cannot be read count as wrong, as all of their views do.
    """

    clip_top1: float
    clip_top5: float | None
    video_top1: float
    video_top5: float | None
    clips: int
    videos: int
    predictions: tuple[Prediction, ...] = ()

    @property
    def unreadable(self) -> int:
        """How many of the videos cannot be read."""
        return sum(prediction.unreadable for prediction in self.predictions)

    def clips_changed(self, other: Accuracy) -> int:
        """How many clips the two networks put in different classes."""
        pairs = zip(self.predictions, other.predictions, strict=True)
        return sum(
            mine != theirs
            for a, b in pairs
            for mine, theirs in zip(a.view_classes, b.view_classes, strict=True)
        )


class AccuracyMeter:
    """Gathers logits of test views and gives both accuracies."""

    def __init__(self, num_classes: int) -> None:
        """Starts empty, for `num_classes` classes."""
        ks = (1, 5) if num_classes > 5 else (1,)
        top = {f"top{k}": MulticlassAccuracy(num_classes, top_k=k, average="micro") for k in ks}
        self._clip = MetricCollection(dict(top), prefix="clip_")
        self._video = self._clip.clone(prefix="video_")
        self._clips = 0
        self._predictions: list[Prediction] = []

    def update(
        self, logits: Tensor, label: Tensor, video: Tensor, bad: Tensor | None = None
    ) -> None:
        """Adds the views of some videos.

        Args:
            logits: (B, V, num_classes).
            label: (B,) classes.
            video: (B,) indices of the videos.
            bad: (B,) bool, which of them cannot be read; none if None.

        Raises:
            ValueError: a logit is not finite, so that no class can be named.
        """
        if not torch.isfinite(logits).all():
            raise ValueError("the network's outputs are not finite (NaN or infinity)")
        logits, label, video = logits.float().cpu(), label.cpu(), video.cpu()
        batch, views, _ = logits.shape
        bad = torch.zeros(batch, dtype=torch.bool) if bad is None else bad.cpu()
        probabilities = logits.softmax(-1)
        mean = probabilities.mean(1)
        by_clip = label.repeat_interleave(views)
        wrong = count_wrong(probabilities.flatten(0, 1), by_clip, bad.repeat_interleave(views))
        self._clip.update(wrong, by_clip)
        self._video.update(count_wrong(mean, label, bad), label)
        self._clips += batch * views
        classes = probabilities.argmax(-1)
        self._predictions += [
            Prediction(
                int(video[i]), int(label[i]), mean[i], tuple(classes[i].tolist()), bool(bad[i])
            )
            for i in range(batch)
        ]

    def compute(self) -> Accuracy:
        """The accuracies so far.

        Raises:
            ValueError: nothing was added.
        """
        if not self._predictions:
            raise ValueError("no test video to evaluate on")
        figures = {**self._clip.compute(), **self._video.compute()}
        percent = {name: 100 * float(value) for name, value in figures.items()}
        return Accuracy(
            clip_top1=percent["clip_top1"],
            clip_top5=percent.get("clip_top5"),
            video_top1=percent["video_top1"],
            video_top5=percent.get("video_top5"),
            clips=self._clips,
            videos=len(self._predictions),
            predictions=tuple(self._predictions),
        )


def evaluate(
    models: Mapping[str, nn.Module],
    batches: Iterable[Mapping[str, Tensor]],
    num_classes: int,
    *,
    device: torch.device | str = "cpu",
    clips_at_once: int = 16,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Accuracy]:
    """Runs all networks over a data module's test batches.

    Args:
        models: name -> network on `device`, set to evaluation mode here.
        batches: {"clip": B V C T H W, "label": B, "video": B}.
        num_classes: classes of the labels and of the networks.
        device: where the clips go.
        clips_at_once: clips in one forward pass, which bounds the memory: the views of one
            UCF101 batch may be hundreds.
        progress: called with the number of videos done after each batch.

    Returns:
        name -> Accuracy, predictions included.

    Raises:
        ValueError: no batches, or a network gives outputs that are not finite (named).
    """
    meters = {name: AccuracyMeter(num_classes) for name in models}
    for model in models.values():
        model.eval()
    with torch.inference_mode():
        for batch in batches:
            clip = batch["clip"]
            chunks = clip.flatten(0, 1).to(device, non_blocking=True).split(clips_at_once)
            for name, model in models.items():
                logits = torch.cat([model(chunk) for chunk in chunks])
                try:
                    meters[name].update(
                        logits.unflatten(0, clip.shape[:2]),
                        batch["label"],
                        batch["video"],
                        unreadable(batch),
                    )
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
            if progress is not None:
                progress(len(clip))
    return {name: meter.compute() for name, meter in meters.items()}
