"""The figures of a comparison: what the table shows, the picture plots and the JSON file holds."""

from __future__ import annotations

import json
from argparse import ArgumentError
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser

from videowino.cli import explain, require
from videowino.environment import Environment
from videowino.files import replacing

Kind = Literal["dense", "exact", "checkpoint"]


@dataclass(frozen=True)
class AccuracyFigures:
    """Percent, clip-level and video-level.

    Attributes:
        clips_changed: clips put in another class than by the baseline; None for the baseline
            itself and where the baseline has no trained weights.
    """

    clip_top1: float
    clip_top5: float | None
    video_top1: float
    video_top5: float | None
    clips_changed: int | None = None


@dataclass(frozen=True)
class Speed:
    """One network at one batch size: medians of times taken in turns.

    Attributes:
        batch_size: clips in a forward pass.
        ms_per_clip: median milliseconds a clip.
        iqr_ms_per_clip: inter-quartile range of that.
        repeats: forward passes timed.
        speedup: median time of the baseline over this one's; below 1 is slower.
        form: how it was timed: "deployed", or for the baseline the fastest form that PyTorch has,
            as "oneDNN, channels last".
    """

    batch_size: int
    ms_per_clip: float
    iqr_ms_per_clip: float
    repeats: int
    speedup: float
    form: str

    @property
    def bounds(self) -> tuple[float, float]:
        """Speedups at both ends of the inter-quartile range of the times."""
        relative = self.iqr_ms_per_clip / self.ms_per_clip / 2
        return self.speedup / (1 + relative), self.speedup / max(1 - relative, 0.5)


@dataclass(frozen=True)
class LayerSpeed:
    """One layer at one batch size: network -> median milliseconds a clip."""

    layer: str
    batch_size: int
    ms_per_clip: dict[str, float]


@dataclass(frozen=True)
class Row:
    """One network.

    Attributes:
        name: unique in the comparison.
        kind: "dense" (the baseline), "exact" (the baseline swapped, untrained) or "checkpoint".
        checkpoint: path of the file, None for what was derived from another.
        parameterization: of its Winograd layers, None if it has none.
        columns_kept: fraction of the Winograd columns that is left; None without such layers.
        accuracy: None for an untrained network, which is there for its time alone.
        parameters: numbers in the network's weights.
        trainable: those that training changes.
        multiplications: for one clip.
        multiplications_dense: for one clip, had no layer been swapped.
        speed: one entry a batch size.
        digest: of the checkpoint's contents; None where there is none, and in files of earlier
            versions.
    """

    name: str
    kind: Kind
    checkpoint: str | None
    parameterization: str | None
    columns_kept: float | None
    accuracy: AccuracyFigures | None
    parameters: int
    trainable: int
    multiplications: int
    multiplications_dense: int
    speed: list[Speed]
    digest: str | None = None

    @property
    def style(self) -> str:
        """What pictures draw it as: "dense", "exact", or its parameterization."""
        return self.kind if self.kind != "checkpoint" else (self.parameterization or "dense")


@dataclass(frozen=True)
class TestData:
    """What the accuracies were measured on.

    Attributes:
        name: the data module's class.
        root: its folder.
        split: its split.
        videos: test videos.
        views: views of each video.
        num_classes: classes, all of them equally likely by chance.
        clip_shape: (C, T, H, W) of a view.
    """

    __test__ = False  # no test class, whatever pytest makes of the name

    name: str
    root: str
    split: int | None
    videos: int
    views: int
    num_classes: int
    clip_shape: tuple[int, ...]

    @property
    def chance(self) -> float:
        """Top-1 of a guess in percent, classes taken as equally frequent."""
        return 100 / self.num_classes

    def __str__(self) -> str:
        """One line, as it stands under a table."""
        split = "" if self.split is None else f" split {self.split}"
        views = f"{self.views} view" + ("s" if self.views != 1 else "")
        channels, frames, height, width = self.clip_shape
        return (
            f"{self.name} ({self.root}){split}: {self.videos} test videos x {views}, "
            f"clips of {frames}x{height}x{width}, {self.num_classes} classes "
            f"(chance {self.chance:.1f} %)"
        )


@dataclass(frozen=True)
class VideoPredictions:
    """What the trained networks take the test videos for.

    Attributes:
        class_names: in the order of the classes' numbers.
        videos: the files, in the order of the test list.
        labels: the class of each.
        predicted: network -> the class each video is put in, -1 where it cannot be read.
        probability: network -> that of the predicted class, over the views of the video.
    """

    class_names: list[str]
    videos: list[str]
    labels: list[int]
    predicted: dict[str, list[int]]
    probability: dict[str, list[float]]


@dataclass(frozen=True)
class Comparison:
    """Networks against their dense baseline.

    Attributes:
        rows: the baseline first.
        data: what accuracy was measured on.
        environment: what time was measured on.
        layers: times of single layers, if asked for.
        notes: sentences that the figures must not be read without.
        predictions: video by video; None in files of earlier versions.
        command: that made it; empty in files of earlier versions.
    """

    rows: list[Row]
    data: TestData
    environment: Environment
    layers: list[LayerSpeed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    predictions: VideoPredictions | None = None
    command: str = ""

    @property
    def batch_sizes(self) -> list[int]:
        """Batch sizes that were timed."""
        return [speed.batch_size for speed in self.rows[0].speed]

    def save_json(self, path: str | Path) -> None:
        """Writes every figure of the tables, unrounded. Folders are made as needed."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            new.write_text(json.dumps(asdict(self), indent=2) + "\n")


def read_comparison(path: str | Path) -> Comparison:
    """What `Comparison.save_json` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: something else is in it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"comparison={path}: no such file")
    reader = ArgumentParser(exit_on_error=False)
    reader.add_class_arguments(Comparison, "it")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found: Comparison = reader.instantiate(reader.parse_object({"it": content})).it
        require(bool(found.rows), "it has no networks")
        sizes = [[speed.batch_size for speed in row.speed] for row in found.rows]
        require(bool(sizes[0]) and sizes.count(sizes[0]) == len(sizes), "times are missing")
        return found
    except (ArgumentError, ValueError, TypeError) as error:
        raise ValueError(
            f"comparison={path}: is not what `evaluate.py compare --json` writes "
            f"({explain(str(error))})"
        ) from None
