"""Predictions that several processes made, as one result in which every video counts once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed

from videowino.data import Video
from videowino.evaluation.accuracy import Prediction

# Another batch around a clip rounds otherwise; another network or clip differs by far more.
_SAME = 1e-3


def gather_predictions(own: Sequence[Prediction]) -> list[list[Prediction]]:
    """The predictions of every process, in each of them; of this one where it is alone."""
    if not torch.distributed.is_initialized():
        return [list(own)]
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, list(own))
    return parts


def merge_predictions(
    parts: Iterable[Iterable[Prediction]], videos: Sequence[Video]
) -> tuple[Prediction, ...]:
    """One prediction a listed video, in the order of the list.

    A video may be in several parts, as where a sampler fills up the last batch of a process: it
    counts once. One that a process could read and another not (in time) was readable. A video that
    is in no part counts as unreadable, and so as wrong in all its views: a test list is tested
    whole.

    Args:
        parts: what each process predicted, of any sizes.
        videos: the test list, which `Prediction.video` is the place in.

    Raises:
        ValueError: no prediction at all, one for a video or class that the list does not have, or
            two that do not agree.
    """
    found: dict[int, Prediction] = {}
    for prediction in (p for part in parts for p in part):
        at = prediction.video
        if not 0 <= at < len(videos):
            raise ValueError(f"a prediction is for video {at} of a list of {len(videos)}")
        if prediction.label != videos[at].label:
            raise ValueError(
                f"{videos[at].path}: a prediction has it in class {prediction.label}, the list in "
                f"{videos[at].label}; the processes read different lists"
            )
        other = found.setdefault(at, prediction)
        if other.unreadable and not prediction.unreadable:
            found[at] = prediction
        elif not (other.unreadable or prediction.unreadable) and not _agree(other, prediction):
            raise ValueError(
                f"{videos[at].path}: two processes predict different things for it; do they have "
                "the same network, and the same views?"
            )
    if not found:
        raise ValueError("no test video to evaluate on")
    example = next(iter(found.values()))
    return tuple(
        found.get(at) or _unread(at, video.label, example) for at, video in enumerate(videos)
    )


def _agree(one: Prediction, other: Prediction) -> bool:
    return (
        one.probabilities.shape == other.probabilities.shape
        and len(one.view_classes) == len(other.view_classes)
        and torch.allclose(one.probabilities, other.probabilities, rtol=0, atol=_SAME)
    )


def _unread(video: int, label: int, example: Prediction) -> Prediction:
    return Prediction(
        video=video,
        label=label,
        probabilities=torch.zeros_like(example.probabilities),
        view_classes=example.view_classes,
        view_top5=(False,) * len(example.view_top5),
        unreadable=True,
    )
