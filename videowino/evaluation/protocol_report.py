"""The figures of a test by protocols: what is printed, and the JSON file holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from videowino.environment import Environment, describe
from videowino.evaluation.accuracy import Accuracy, Prediction
from videowino.evaluation.comparison import TestData
from videowino.evaluation.per_class import (
    ClassFigures,
    Pair,
    confused_pairs,
    confusion_matrix,
    mean_class_accuracy,
    per_class,
)
from videowino.evaluation.protocol_run import ProtocolRun, Throughput
from videowino.evaluation.protocols import Average, Protocol, richest
from videowino.evaluation.spread import Spread, over_splits
from videowino.evaluation.subjects import Subject
from videowino.evaluation.video_rows import VideoRow, video_rows
from videowino.files import replacing

MEASURES = ("video_top1", "video_top5", "clip_top1", "clip_top5")


@dataclass(frozen=True)
class ProtocolFigures:
    """Percent, by one protocol; top-5 is None up to five classes.

    Attributes:
        views: name of the protocol, as 10x3 (clips x crops).
        views_a_video: how many those are.
    """

    views: str
    views_a_video: int
    video_top1: float
    video_top5: float | None
    clip_top1: float
    clip_top5: float | None


@dataclass(frozen=True)
class SplitFigures:
    """One network on the test list of its split.

    Attributes:
        network: short name.
        model: the file.
        data: the test data; its views are those of the protocol that details are told of.
        unreadable: videos that cannot be read, which count as wrong.
        protocols: what came of each.
        throughput: of all protocols together.
    """

    network: str
    model: str
    data: TestData
    unreadable: int
    protocols: list[ProtocolFigures]
    throughput: Throughput


@dataclass(frozen=True)
class SpreadFigures:
    """Mean and spread over the splits, by one protocol."""

    views: str
    video_top1: Spread
    video_top5: Spread | None
    clip_top1: Spread
    clip_top5: Spread | None


@dataclass(frozen=True)
class ProtocolReport:
    """Networks, one a split, by one or several protocols.

    Attributes:
        splits: a network each.
        mean: over the splits, one a protocol.
        average: what views are averaged by.
        detailed: the protocol that all that follows is told of, video-level, over all splits.
        mean_class_top1: mean of the classes' top-1.
        classes: the worst first.
        class_names: in the order of the confusion matrix.
        confusion: videos of a class (row) that are put in another (column).
        pairs: classes that are confused, the most videos first.
        videos: every test video.
        environment: what it was measured on.
        notes: sentences that the figures must not be read without.
    """

    splits: list[SplitFigures]
    mean: list[SpreadFigures]
    average: Average
    detailed: str
    mean_class_top1: float
    classes: list[ClassFigures]
    class_names: list[str]
    confusion: list[list[int]]
    pairs: list[Pair]
    environment: Environment
    videos: list[VideoRow] = field(repr=False)
    notes: list[str] = field(default_factory=list)

    def save_json(self, path: str | Path, worst: Sequence[VideoRow]) -> None:
        """Writes every figure, unrounded; of the videos the worst, the CSV file has all.

        Args:
            path: the file; folders are made as needed.
            worst: videos to name.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        figures = asdict(self)
        del figures["videos"]
        figures["worst_videos"] = [asdict(row) for row in worst]
        for row in figures["worst_videos"]:
            del row["probabilities"]
        figures["unreadable_videos"] = [row.path for row in self.videos if row.predicted is None]
        with replacing(path) as new:
            new.write_text(json.dumps(figures, indent=2) + "\n")


def report(
    subjects: Sequence[Subject],
    runs: Sequence[ProtocolRun],
    protocols: Sequence[Protocol],
    average: Average,
    environment: Environment | None = None,
) -> ProtocolReport:
    """What there is to say of networks that were tested.

    Args:
        subjects: the networks, one a split.
        runs: what came of each.
        protocols: that they were tested by.
        average: what views were averaged by.
        environment: what they ran on; this process's if None.
    """
    detailed = richest(protocols)
    names = subjects[0].data.class_names
    all_predictions: list[Prediction] = []
    rows: list[VideoRow] = []
    for subject, run in zip(subjects, runs):
        predictions = run.accuracies[detailed].predictions
        all_predictions += predictions
        listed = subject.data.videos("test")
        rows += video_rows(predictions, listed, names, subject.name, subject.split)
    classes = per_class(all_predictions, names)
    splits = [_split(*pair, protocols, detailed) for pair in zip(subjects, runs)]
    return ProtocolReport(
        splits=splits,
        mean=[_mean(p, runs) for p in protocols],
        average=average,
        detailed=detailed.name,
        mean_class_top1=mean_class_accuracy(classes),
        classes=classes,
        class_names=list(names),
        confusion=confusion_matrix(all_predictions, len(names)).tolist(),
        pairs=confused_pairs(all_predictions, names),
        videos=rows,
        environment=environment or describe(),
        notes=[note for subject in subjects for note in subject.notes] + _unreadable(splits),
    )


def _split(
    subject: Subject, run: ProtocolRun, protocols: Sequence[Protocol], detailed: Protocol
) -> SplitFigures:
    data = subject.data
    accuracy = run.accuracies[detailed]
    return SplitFigures(
        network=subject.name,
        model=subject.path,
        data=TestData(
            name=type(data).__name__,
            root=str(data.hparams["root"]),
            split=subject.split,
            videos=accuracy.videos,
            views=detailed.views,
            num_classes=data.num_classes,
            clip_shape=run.clip_shape,
        ),
        unreadable=accuracy.unreadable,
        protocols=[_figures(p, run.accuracies[p]) for p in protocols],
        throughput=run.throughput,
    )


def _figures(protocol: Protocol, accuracy: Accuracy) -> ProtocolFigures:
    measures = {measure: getattr(accuracy, measure) for measure in MEASURES}
    return ProtocolFigures(protocol.name, protocol.views, **measures)


def _mean(protocol: Protocol, runs: Sequence[ProtocolRun]) -> SpreadFigures:
    accuracies = [run.accuracies[protocol] for run in runs]
    figures = {name: over_splits([getattr(a, name) for a in accuracies]) for name in MEASURES}
    return SpreadFigures(protocol.name, **figures)  # type: ignore[arg-type]


def _unreadable(splits: Sequence[SplitFigures]) -> list[str]:
    return [
        f"Split {s.data.split}: {s.unreadable} of {s.data.videos} test videos cannot be read and "
        "count as wrong."
        for s in splits
        if s.unreadable
    ]
