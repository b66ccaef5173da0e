"""Clip-level and video-level accuracy of several networks over the same test views.

Every clip is decoded once and shown to all networks, so they are compared on the same samples to
the last pixel. Clip-level counts each view as a sample of its own; video-level averages the class
probabilities (or logits) of a video's views and counts the video once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from videowino.data.scores import unreadable
from videowino.evaluation.protocols import Average

TOP = 5  # classes; with so many or fewer, being among them says nothing


@dataclass(frozen=True)
class Prediction:
    """What a network says about one video.

    Attributes:
        video: index into `datamodule.videos("test")`.
        label: its class.
        probabilities: (num_classes,) mean of the views' softmax, or softmax of their mean logits.
        view_classes: the class each view alone is put in.
        view_top5: whether the label is among the five best of each view; () up to five classes.
        unreadable: whether the video cannot be read, so that nothing is said and it is wrong.
    """

    video: int
    label: int
    probabilities: Tensor
    view_classes: tuple[int, ...]
    view_top5: tuple[bool, ...] = ()
    unreadable: bool = False

    @property
    def predicted(self) -> int:
        """The class that the video is put in; means nothing where it is unreadable."""
        return int(self.probabilities.argmax())

    @property
    def best(self) -> list[int]:
        """The most probable classes, five of them or all there are, best first."""
        return self.probabilities.topk(min(TOP, len(self.probabilities))).indices.tolist()

    @property
    def in_top5(self) -> bool:
        """Whether the label is among the five best."""
        return self.label in self.best


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

    def __init__(self, num_classes: int, average: Average = "probabilities") -> None:
        """Starts empty.

        Args:
            num_classes: classes there are.
            average: what a video's views are averaged by.
        """
        self.num_classes, self.average = num_classes, average
        self.predictions: list[Prediction] = []

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
        bad = torch.zeros(len(label), dtype=torch.bool) if bad is None else bad.cpu()
        probabilities = logits.softmax(-1)
        by_logits = self.average == "logits"
        mean = logits.mean(1).softmax(-1) if by_logits else probabilities.mean(1)
        classes = probabilities.argmax(-1)
        among = _among(probabilities, label) if self.num_classes > TOP else None
        self.predictions += [
            Prediction(
                video=int(video[i]),
                label=int(label[i]),
                probabilities=mean[i],
                view_classes=tuple(classes[i].tolist()),
                view_top5=() if among is None else tuple(among[i].tolist()),
                unreadable=bool(bad[i]),
            )
            for i in range(len(label))
        ]

    def compute(self) -> Accuracy:
        """The accuracies so far.

        Raises:
            ValueError: nothing was added.
        """
        return accuracy_of(self.predictions)


def accuracy_of(predictions: Sequence[Prediction]) -> Accuracy:
    """Both accuracies of predictions, one a video; those of `merge_predictions`, for example.

    Raises:
        ValueError: there are none.
    """
    if not predictions:
        raise ValueError("no test video to evaluate on")
    clips = sum(len(p.view_classes) for p in predictions)
    read = [p for p in predictions if not p.unreadable]
    top5 = bool(predictions[0].view_top5)

    def percent(hits: int, of: int) -> float:
        return 100 * hits / of

    return Accuracy(
        clip_top1=percent(sum(p.view_classes.count(p.label) for p in read), clips),
        clip_top5=percent(sum(sum(p.view_top5) for p in read), clips) if top5 else None,
        video_top1=percent(sum(p.predicted == p.label for p in read), len(predictions)),
        video_top5=percent(sum(p.in_top5 for p in read), len(predictions)) if top5 else None,
        clips=clips,
        videos=len(predictions),
        predictions=tuple(predictions),
    )


def _among(scores: Tensor, label: Tensor) -> Tensor:
    """Whether the label is among the best: scores (B, V, num_classes), label (B,) -> (B, V)."""
    return (scores.topk(TOP, dim=-1).indices == label[:, None, None]).any(-1)


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
