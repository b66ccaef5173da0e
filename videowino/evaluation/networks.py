"""The networks of a comparison, from checkpoints."""

from __future__ import annotations

import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser
from torch import nn

from videowino.cli import explain, parameters
from videowino.data import VideoDataModule
from videowino.evaluation.comparison import Kind
from videowino.files import sha256_of
from videowino.surgery import convert
from videowino.training.checkpoint import load_classifier, load_datamodule, read_checkpoint
from videowino.training.classifier import VideoClassifier
from videowino.training.hyperparameters import plain
from videowino.training.run_folder import CONFIG
from videowino.winograd import winograd_layers

_SAME = ("backbone", "num_classes", "width", "stem")  # what must agree for a comparison
# What a clip looks like to the network: to be evaluated as it was trained.
_CLIP = (
    *("frames", "sampling", "stride", "size", "resize", "mean", "std"),
    *("subtract_background", "short_clips"),
)


@dataclass(frozen=True)
class Network:
    """One network to compare.

    Attributes:
        name: short, unique.
        kind: as in `Row`.
        model: in evaluation mode.
        checkpoint: the file that it comes from, None for what was derived from another.
        trained: whether its accuracy means anything.
        digest: of the file's contents (`videowino.files.sha256_of`).
    """

    name: str
    kind: Kind
    model: nn.Module
    checkpoint: str | None = None
    trained: bool = True
    digest: str | None = None

    @property
    def parameterization(self) -> str | None:
        """Of its Winograd layers; None for a dense network."""
        kinds = {layer.parameterization for layer in winograd_layers(self.model).values()}
        return "+".join(sorted(kinds)) or None


def gather(
    checkpoints: Sequence[str | PathLike[str]],
    baseline: str | PathLike[str] | None = None,
    exact: bool = False,
) -> list[Network]:
    """Loads the networks of a comparison, the dense baseline first.

    Args:
        checkpoints: files of `VideoClassifier`s, all of one backbone and class count.
        baseline: the dense checkpoint. Without it the first dense one among `checkpoints` is the
            baseline; if there is none, an untrained network of the same architecture, whose time
            is real and which has no accuracy.
        exact: add the baseline with its convolutions swapped and nothing else changed, with the
            tile of the first checkpoint that has Winograd layers.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: nothing given, not a checkpoint, a baseline that is not dense, or checkpoints
            of different networks.
    """
    paths = [Path(path) for path in checkpoints]
    if baseline is not None:
        start_file = Path(baseline).resolve()
        paths = [Path(baseline), *(path for path in paths if path.resolve() != start_file)]
    if not paths:
        raise ValueError("checkpoints: give at least one")
    files = [path.resolve() for path in paths]
    if twice := next((p for p, file in zip(paths, files) if files.count(file) > 1), None):
        raise ValueError(f"checkpoints: {twice} is given twice")
    classifiers = {path: load_classifier(path) for path in paths}
    _check_same(classifiers)
    dense = [path for path, c in classifiers.items() if not winograd_layers(c.model)]
    if baseline is not None and Path(baseline) not in dense:
        raise ValueError(
            f"baseline={baseline}: has Winograd layers; give the dense checkpoint, or no baseline"
        )
    names = _names(paths)
    first = classifiers[paths[0]]
    if dense:
        path = dense[0]
        start = _of_file(path, names[path], "dense", classifiers[path])
    else:
        path = None
        start = Network("dense, untrained", "dense", first.dense_network().eval(), trained=False)
    networks = [start]
    if exact:
        networks.append(Network("exact Winograd", "exact", _swapped(start.model, classifiers)))
        if not start.trained:
            networks[-1] = Network("exact, untrained", "exact", networks[-1].model, trained=False)
    networks += [
        _of_file(other, names[other], "checkpoint", classifiers[other])
        for other in paths
        if other != path
    ]
    return networks


def data_of(networks: Sequence[Network], **overrides: Any) -> VideoDataModule:
    """The data module of the first network that has a checkpoint, with `overrides`.

    Warns, a line a checkpoint, where another one was trained on some of the test videos or on
    clips made differently: its accuracy would not be what it seems.

    Raises:
        FileNotFoundError: no such root.
        ValueError: unknown or bad overrides, a checkpoint that names no data, or data of another
            class count.
    """
    paths = [network.checkpoint for network in networks if network.checkpoint is not None]
    data = load_datamodule(paths[0], **typed(type(load_datamodule(paths[0])), overrides))
    classes = read_checkpoint(paths[0])["hyper_parameters"]["num_classes"]
    if data.num_classes != classes:
        raise ValueError(
            f"data.root={data.hparams['root']}: has {data.num_classes} classes and {paths[0]} "
            f"was trained for {classes}"
        )
    data.setup("test")
    for path in paths:
        for message in misfits(path, data):
            warnings.warn(message, stacklevel=2)
    return data


def typed(kind: type[VideoDataModule], overrides: dict[str, Any]) -> dict[str, Any]:
    """The overrides as the types that the data module declares; unknown names pass."""
    given = {name: value for name, value in overrides.items() if name in parameters(kind)}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "data")
    try:
        parsed = parser.parse_object({"data": {"root": "", **given}})
    except ArgumentError as error:
        raise ValueError(explain(str(error))) from error
    return overrides | {name: parsed.data[name] for name in given}


def misfits(path: str, data: VideoDataModule) -> list[str]:
    """Why a checkpoint's accuracy on the test videos is not what it seems, a line each."""
    own = load_datamodule(path, root=data.hparams["root"])
    messages = []
    known = {key: plain(own.hparams[key]) for key in _CLIP if key in data.hparams}
    used = {key: plain(data.hparams[key]) for key in known}
    if differing := [key for key in known if known[key] != used[key]]:
        theirs = ", ".join(f"data.{key}={known[key]}" for key in differing)
        ours = ", ".join(str(used[key]) for key in differing)
        messages.append(f"{path}: was trained with {theirs}, and is evaluated with {ours}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the data module in use has told of missing clips
        try:
            trained_on = {video.path for video in own.videos("train")}
        except (ValueError, FileNotFoundError):  # none of its training clips is here
            trained_on = set()
    test = data.videos("test")
    if seen := sum(video.path in trained_on for video in test):
        messages.append(
            f"{path}: was trained on {seen} of the {len(test)} test videos, so its accuracy is "
            "no test accuracy"
        )
    return messages


def unfinished(network: Network) -> str | None:
    """A sentence on a training that ended before its last epoch; None for any other.

    Args:
        network: whose checkpoint may lie in a run folder.
    """
    if network.checkpoint is None:
        return None
    config = Path(network.checkpoint).parent.parent / CONFIG
    try:
        trainer = yaml.safe_load(config.read_bytes())["trainer"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):  # no run folder, or none of ours
        return None
    epochs = trainer.get("max_epochs") if isinstance(trainer, dict) else None
    if not isinstance(epochs, int) or epochs < 1:
        return None
    checkpoint = read_checkpoint(network.checkpoint)
    epoch = checkpoint.get("epoch", epochs) + 1
    step = checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_loop.batch_progress", {})
    if epoch >= epochs and step.get("is_last_batch", True):
        return None
    return f"{network.name} is of a training that ended in epoch {epoch} of {epochs}."


def _check_same(classifiers: dict[Path, VideoClassifier]) -> None:
    (first, reference), *others = classifiers.items()
    for path, classifier in others:
        wanted, found = reference.hparams, classifier.hparams
        if differing := [key for key in _SAME if wanted[key] != found[key]]:
            theirs = ", ".join(f"{key}={found[key]!r}" for key in differing)
            ours = ", ".join(f"{key}={wanted[key]!r}" for key in differing)
            raise ValueError(
                f"{path}: is of another network ({theirs}) than {first} ({ours}); compare "
                "checkpoints of one backbone"
            )


def _of_file(path: Path, name: str, kind: Kind, classifier: VideoClassifier) -> Network:
    return Network(name, kind, classifier.model, str(path), digest=sha256_of(path))


def _swapped(model: nn.Module, classifiers: dict[Path, VideoClassifier]) -> nn.Module:
    swaps = [c.hparams["winograd"] for c in classifiers.values() if c.hparams["winograd"]]
    given = ("tile", "points", "include", "exclude")
    options = {key: swaps[0][key] for key in given} if swaps else {}
    swapped = deepcopy(model)
    convert(swapped, parameterization="spatial", **options)
    return swapped.eval()


def short_name(path: str | PathLike[str]) -> str:
    """The run's name for a checkpoint in a run folder, else the file's."""
    path = Path(path)
    run = path.parent.parent.name if path.parent.name == "checkpoints" else ""
    stem = path.stem if path.stem != "last" or not run else ""
    return "/".join(part for part in (run, stem) if part)


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """Short names; the path where they are not unique."""
    names = {path: short_name(path) for path in paths}
    found = list(names.values())
    return {path: name if found.count(name) == 1 else str(path) for path, name in names.items()}
