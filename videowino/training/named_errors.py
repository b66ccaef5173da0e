"""Errors of constructors under the names that a configuration has for their arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from videowino.cli import parameters
from videowino.training.classifier import VideoClassifier
from videowino.training.hyperparameters import WinogradConfig

# Where a configuration has arguments of such a class; of two places, the first that knows one.
_PLACES: dict[type, dict[str, type]] = {
    VideoClassifier: {"model": VideoClassifier, "model.winograd": WinogradConfig},
    pl.Callback: {"trainer.callbacks": pl.Callback},
    Logger: {"trainer.logger": Logger},
}


def instantiators() -> list[tuple[Callable[..., Any], type, bool]]:
    """What jsonargparse is to instantiate classes with, so that errors have full names."""
    return [(_instantiate(places), kind, True) for kind, places in _PLACES.items()]


def _instantiate(places: dict[str, type]) -> Callable[..., Any]:
    def make(kind: type, *args: Any, **kwargs: Any) -> Any:
        known = {
            place: parameters(kind if issubclass(kind, owner) else owner)
            for place, owner in places.items()
        }
        try:
            return kind(*args, **kwargs)
        except (ValueError, FileNotFoundError) as error:
            text = str(error)
            name = re.match(r"\w+", text)
            for place, names in known.items():
                if name and name[0] in names and text[name.end() :].startswith(("=", ":", " ")):
                    raise type(error)(f"{place}.{text}") from error
            raise

    return make


@contextmanager
def trainer_errors() -> Iterator[None]:
    """Lightning's errors about arguments of the Trainer, by their full names.

    Raises:
        ValueError: instead of Lightning's own.
    """
    try:
        yield
    except (MisconfigurationException, ValueError, TypeError) as error:
        text = re.sub(r"`?Trainer\((\w+)=([^)]*)\)`?", r"trainer.\1=\2", str(error))
        text = re.sub(r"`(\w+)(=[^`]*)?`", r"trainer.\1\2", text)
        raise ValueError(text if "trainer." in text else f"trainer: {text}") from error
