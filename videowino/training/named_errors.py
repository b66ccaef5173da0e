"""Errors of constructors under the names that a configuration has for their arguments."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger

from videowino.cli import parameters
from videowino.data import VideoDataModule
from videowino.training.classifier import VideoClassifier
from videowino.training.hyperparameters import WinogradConfig

# Where a configuration has arguments of such a class; of two places, the first that knows one.
_PLACES: dict[type, dict[str, type]] = {
    VideoClassifier: {"model": VideoClassifier, "model.winograd": WinogradConfig},
    VideoDataModule: {"data": VideoDataModule},
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
        first = next(iter(known))
        for name, value in kwargs.items():
            if value is None and not _may_be_null(kind, name):
                raise ValueError(f"{first}.{name}=null: is no value for it; leave it out")
        try:
            return kind(*args, **kwargs)
        except (ValueError, FileNotFoundError) as error:
            text = str(error)
            found = re.match(r"\w+", text)
            for place, names in known.items():
                if found and found[0] in names and text[found.end() :].startswith(("=", ":", " ")):
                    raise type(error)(f"{place}.{text}") from error
            raise
        except RuntimeError as error:
            if "can't allocate memory" not in str(error):
                raise
            raise ValueError(f"{first}: asks for more memory than there is ({error})") from error

    return make


def _may_be_null(kind: type, name: str) -> bool:
    """By the argument's type, in the class or the base that has it; jsonargparse takes any null."""
    for base in kind.__mro__:
        init = vars(base).get("__init__")
        if init is not None and name in (hints := get_type_hints(init)):
            return type(None) in get_args(hints[name]) or hints[name] in (Any, type(None))
    return True
