"""What is tested: networks from checkpoints or deployed files, each with its test data."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

import videowino.data
from videowino.cli import parameters, suggestion
from videowino.data import VideoDataModule, VideoFolder
from videowino.deployment import DeployedModel
from videowino.evaluation.loaded import is_checkpoint, load_network
from videowino.evaluation.networks import misfits, short_name, typed
from videowino.training.checkpoint import load_classifier, load_datamodule, read_checkpoint

_SHOWN = 3  # classes that a message names


@dataclass(frozen=True)
class Subject:
    """A network and what it is tested on.

    Attributes:
        path: the file.
        name: short.
        model: in evaluation mode.
        data: set up for "test", one video a batch.
        notes: sentences that its figures must not be read without.
    """

    path: str
    name: str
    model: nn.Module
    data: VideoDataModule
    notes: tuple[str, ...] = ()

    @property
    def split(self) -> int | None:
        """The split that it is tested on."""
        return self.data.hparams.get("split")

    @property
    def batch_size(self) -> int | None:
        """Clips in a forward pass that it was deployed for; None for any."""
        return self.model.example_shape[0] if isinstance(self.model, DeployedModel) else None


def load_subjects(
    paths: Sequence[str],
    settings: Mapping[str, Any],
    progress: Callable[[int], object] | None = None,
) -> list[Subject]:
    """The networks of files, each with the test data of the split that it was trained for.

    Warns where a checkpoint was trained on another split, on videos of the test list, or on clips
    made differently.

    Args:
        paths: checkpoints or deployed files, of the same classes, one a split.
        settings: changes to the data settings of the checkpoints. Of a deployed file, which has
            the preprocessing alone, they say what the data are; "class_path" names the data
            module, `VideoFolder` if it is not given.
        progress: as of `videowino.load`.

    Raises:
        FileNotFoundError: no such file or data.
        ValueError: unknown or bad settings, networks of different classes, or two of one split.
    """
    if twice := next((path for path in paths if list(paths).count(path) > 1), None):
        raise ValueError(f"models: {twice} is given twice")
    subjects: list[Subject] = []
    for path in paths:
        checkpoint = is_checkpoint(path)
        subject = (_of_checkpoint if checkpoint else _of_deployed)(path, dict(settings), progress)
        if subjects:
            _check_beside(subjects, subject)
        subjects.append(subject)
    return subjects


def _of_checkpoint(path: str, settings: dict[str, Any], _: object) -> Subject:
    model = load_classifier(path)
    read = read_checkpoint(path)
    given = settings.pop("class_path", None)
    if given is None:
        data = load_datamodule(path, **_settings(type(load_datamodule(path)), settings))
    else:
        kind = _data_class(given)
        known = parameters(kind)
        saved = read.get("datamodule_hyper_parameters") or {}
        own = {name: value for name, value in saved.items() if name in known}
        data = _make(kind, own | _settings(kind, settings))
    own_names = read.get("class_names")
    count = read["hyper_parameters"]["num_classes"]
    _check_classes(path, data, own_names, count)
    data.setup("test")
    trained = (read.get("datamodule_hyper_parameters") or {}).get("split")
    if trained != data.hparams.get("split"):
        warnings.warn(
            f"{path}: was trained on split {trained}, and is tested on split "
            f"{data.hparams.get('split')}",
            stacklevel=3,
        )
    for message in misfits(path, data):
        warnings.warn(message, stacklevel=3)
    return Subject(path, short_name(path), model, data)


def _of_deployed(
    path: str, settings: dict[str, Any], progress: Callable[[int], object] | None
) -> Subject:
    found = load_network(path, progress=progress)
    assert isinstance(found.model, DeployedModel)
    kind = VideoFolder if "class_path" not in settings else _data_class(settings.pop("class_path"))
    if "root" not in settings:
        raise ValueError(
            f"{path}: a deployed file does not say where its data are; give --data.root (and "
            "--data.split, and --data.class_path UCF101 for what is no VideoFolder)"
        )
    how = found.preprocessing.settings | {"short_clips": "last"}  # as evaluate.py predict has it
    data = _make(kind, how | _settings(kind, settings))
    _check_classes(path, data, found.model.class_names, len(found.class_names))
    data.setup("test")
    note = (
        f"{path} does not say which videos it was trained on: make sure that none of them is in "
        f"the test list of split {data.hparams.get('split')}."
    )
    return Subject(path, Path(path).stem, found.model, data, (note,))


def _settings(kind: type[VideoDataModule], settings: dict[str, Any]) -> dict[str, Any]:
    """Typed, and a video a batch: frames of different videos may be of different sizes."""
    known = parameters(kind)
    for name in settings:
        if name not in known:
            near = suggestion(f"data.{name}", [f"data.{k}" for k in known])
            raise ValueError(f"unknown option {f'data.{name}'!r} of {kind.__name__}{near}")
    return typed(kind, settings) | {"batch_size": 1}


def _make(kind: type[VideoDataModule], settings: Mapping[str, Any]) -> VideoDataModule:
    return kind(**settings)


def _data_class(name: str) -> type[VideoDataModule]:
    module, _, last = str(name).rpartition(".")
    try:
        place = importlib.import_module(module) if module else videowino.data
    except ImportError:
        raise ValueError(f"data.class_path={name}: there is no module {module}") from None
    kind = getattr(place, last, None)
    if not (isinstance(kind, type) and issubclass(kind, VideoDataModule)):
        near = suggestion(last, videowino.data.__all__)
        raise ValueError(f"data.class_path={name}: is no data module{near}")
    return kind


def _check_classes(
    path: str, data: VideoDataModule, names: Sequence[str] | None, count: int
) -> None:
    root = data.hparams["root"]
    if data.num_classes != count:
        raise ValueError(
            f"data.root={root}: has {data.num_classes} classes and {path} was trained for {count}"
        )
    if names is not None and list(names) != data.class_names:
        raise ValueError(
            f"data.root={root}: has other classes than {path} was trained for: "
            f"{_differing(data.class_names, names)}"
        )


def _check_beside(subjects: Sequence[Subject], new: Subject) -> None:
    first = subjects[0]
    if new.data.class_names != first.data.class_names:
        raise ValueError(
            f"{new.path}: is for other classes than {first.path}: "
            f"{_differing(new.data.class_names, first.data.class_names)}; test networks of "
            "different data sets one after the other"
        )
    for other in subjects:
        if other.split == new.split:
            raise ValueError(
                f"{new.path}: is tested on split {new.split} like {other.path}; give one network a "
                "split, and evaluate.py compare for several networks on one"
            )


def _differing(ours: Sequence[str], theirs: Sequence[str]) -> str:
    if len(ours) != len(theirs):
        return f"{len(ours)} instead of {len(theirs)}"
    pairs = [f"{a!r} instead of {b!r}" for a, b in zip(ours, theirs) if a != b]
    more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    return ", ".join(pairs[:_SHOWN]) + more
