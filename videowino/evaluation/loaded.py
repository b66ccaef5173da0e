"""A network to use, from a deployed file or a checkpoint."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from videowino.deployment import DeployedModel, Preprocessing, deploy, load
from videowino.training.checkpoint import load_classifier, load_datamodule, read_checkpoint

if TYPE_CHECKING:
    from videowino.data import VideoDataModule


@dataclass(frozen=True)
class Loaded:
    """What there is to know of a network.

    Attributes:
        model: In evaluation mode.
        class_names: In the order of its outputs.
        preprocessing: How its clips are made.
    """

    model: nn.Module
    class_names: list[str]
    preprocessing: Preprocessing

    @property
    def example(self) -> Tensor:
        """A random clip of its size, 1 C T H W."""
        how = self.preprocessing
        return torch.randn(1, 3, how.frames, *how.size)


def load_network(
    path: str | PathLike[str],
    *,
    deployed: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Loaded:
    """The network of a deployed file or a checkpoint, whichever the file is.

    Args:
        path: The file.
        deployed: Deploy the network of a checkpoint.
        progress: As of `deploy`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is neither, or a deployed model without class names or preprocessing.
    """
    if is_checkpoint(path):
        found = _from_checkpoint(path)
        if not deployed:
            return found
        model = deploy(
            found.model,
            found.example,
            class_names=found.class_names,
            preprocessing=found.preprocessing,
            progress=progress,
        )
        return Loaded(model, found.class_names, found.preprocessing)
    return _from_deployed(path, load(path, progress=progress))


def is_checkpoint(path: str | PathLike[str]) -> bool:
    """Whether a file is to be read as a checkpoint, not as a deployed model."""
    return zipfile.is_zipfile(path) or Path(path).suffix == ".ckpt"


def _from_deployed(path: str | PathLike[str], model: DeployedModel) -> Loaded:
    if model.preprocessing is None:
        raise ValueError(
            f"{path}: says nothing of preprocessing; give deploy(preprocessing=...), or write it "
            "from a checkpoint with evaluate.py deploy"
        )
    names = model.class_names
    if names is None:
        count = model(torch.randn(model.example_shape)).shape[-1]
        names = _numbered(count)
    return Loaded(model, names, model.preprocessing)


def _from_checkpoint(path: str | PathLike[str]) -> Loaded:
    model = load_classifier(path).model
    data = load_datamodule(path)
    count = read_checkpoint(path)["hyper_parameters"]["num_classes"]
    return Loaded(model, _class_names(path, data, count), Preprocessing.of(dict(data.hparams)))


def _class_names(path: str | PathLike[str], data: VideoDataModule, count: int) -> list[str]:
    """As the checkpoint has them; of older ones from its data set, if it is still there."""
    names: Any = read_checkpoint(path).get("class_names")
    if names is None:
        try:
            names = data.class_names
        except (FileNotFoundError, ValueError):
            names = []
    return list(names) if len(names) == count else _numbered(count)


def _numbered(count: int) -> list[str]:
    return [f"class {index}" for index in range(count)]
