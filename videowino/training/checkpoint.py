"""Checkpoints back into classifiers and data modules, with no other file at hand."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from videowino.cli import parameters, suggestion
from videowino.models.weights import misfits, read_state_dict
from videowino.training.checkpoint_file import fault
from videowino.training.classifier import VideoClassifier
from videowino.winograd import winograd_layers

if TYPE_CHECKING:
    from videowino.data.datamodule import VideoDataModule


def load_classifier(
    path: str | PathLike[str], map_location: str | torch.device = "cpu"
) -> VideoClassifier:
    """The trained classifier of a checkpoint, column masks included, in evaluation mode.

    Needs no other file: the weights that the run started from are not read again. If the run
    averaged its weights (EMA), the averaged ones are loaded.

    Args:
        path: a checkpoint that `train.py` or a Lightning Trainer saved of a `VideoClassifier`.
        map_location: device to load to.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, cut short, of something else, or of another version.
    """
    checkpoint = read_checkpoint(path)
    arguments = {k: v for k, v in checkpoint["hyper_parameters"].items() if not k.startswith("_")}
    known = parameters(VideoClassifier)
    if unknown := [name for name in arguments if name not in known]:
        raise ValueError(
            f"{path}: was saved by another version of videowino (its model has the arguments "
            f"{', '.join(unknown)}, which this one lacks)"
        )
    arguments["weights"] = None
    with _of_a_file(path):
        classifier = VideoClassifier(**arguments)
    for name, layer in winograd_layers(classifier).items():
        layer.make_room(checkpoint["state_dict"], f"{name}.")
    if problems := misfits(classifier.state_dict(), checkpoint["state_dict"]):
        raise ValueError(f"{path}: its weights do not fit its own network: {problems}")
    classifier.load_state_dict(checkpoint["state_dict"])
    return classifier.to(map_location).eval()


def load_datamodule(path: str | PathLike[str], **overrides: Any) -> VideoDataModule:
    """The data module that a checkpoint was trained with.

    Args:
        path: a checkpoint, see `load_classifier`.
        **overrides: arguments to change, `root` where the data lies elsewhere now.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint, trained without a data module, or an unknown argument.
    """
    checkpoint = read_checkpoint(path)
    if "datamodule_class" not in checkpoint:
        raise ValueError(f"{path}: was trained without a data module, so it names no data")
    kind = _data_class(checkpoint["datamodule_class"], path)
    known = parameters(kind)
    for name in overrides:
        if name not in known:
            raise ValueError(
                f"unknown option {f'data.{name}'!r} of {kind.__name__}"
                f"{suggestion(f'data.{name}', [f'data.{k}' for k in known])}"
            )
    saved = checkpoint.get("datamodule_hyper_parameters")
    if not isinstance(saved, Mapping):
        raise ValueError(f"{path}: holds no settings of its data; bring back a copy")
    with _of_a_file(path):
        return kind(**{k: v for k, v in saved.items() if k in known} | overrides)


def read_checkpoint(path: str | PathLike[str]) -> dict[str, Any]:
    """The contents of a checkpoint of a `VideoClassifier`, tensors on the CPU.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not one.
    """
    file = Path(path)
    if not file.is_file():
        hint = " (it is a folder; give the .ckpt file in it)" if file.is_dir() else ""
        raise FileNotFoundError(f"{path}: no such checkpoint{hint}")
    _, checkpoint = read_state_dict(file, str(path))
    if why := fault(file):  # after what is wrong in plainer ways
        raise ValueError(f"{path}: is damaged ({why}); bring back a copy")
    settings, state = checkpoint.get("hyper_parameters"), checkpoint.get("state_dict")
    whole = isinstance(state, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    )
    if not whole or not isinstance(settings, Mapping) or "backbone" not in settings:
        raise ValueError(
            f"{path}: is no checkpoint of a VideoClassifier; bare weights go to model.weights"
        )
    return checkpoint


@contextmanager
def _of_a_file(path: str | PathLike[str]) -> Iterator[None]:
    """Settings that no training can have saved end as bad input, whatever they break.

    Raises:
        ValueError: they do.
    """
    try:
        yield
    except (ValueError, FileNotFoundError):
        raise
    except Exception as error:  # as many as there are values
        raise ValueError(f"{path}: holds settings that mean nothing ({error!r})") from error


def _data_class(class_path: str, path: str | PathLike[str]) -> Any:
    if not isinstance(class_path, str):
        raise ValueError(f"{path}: names no data that it was trained on; bring back a copy")
    module, _, name = class_path.rpartition(".")
    # A checkpoint must not choose what code is imported.
    if not module.startswith("videowino.") and module not in sys.modules:
        raise ValueError(f"{path}: was trained on {class_path}; import {module} first")
    try:
        kind = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError:
        kind = None
    if kind is None:
        raise ValueError(f"{path}: was trained on {class_path}, which this version does not have")
    return kind
