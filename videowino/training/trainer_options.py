"""Options of Lightning's Trainer: what it does not check itself, and their names in its errors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import (
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
)
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.distributed import is_torchelastic_launched

from videowino.cli import parameters, require
from videowino.training.fully_sharded import FullySharded

_SHARDING = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)
_LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
}


def as_many_as_launched(options: dict[str, Any]) -> None:
    """Under torchrun, devices of auto are the processes that it has started on this machine.

    Lightning would take one on a machine without GPUs, and refuse torchrun's number of processes.

    Args:
        options: of the Trainer, changed in place.
    """
    if is_torchelastic_launched() and options.get("devices") == "auto":
        options["devices"] = int(os.environ["LOCAL_WORLD_SIZE"])


def refuse_sharding(strategy: Any) -> None:
    """Refuse strategies that split the parameters of Winograd layers among processes.

    Args:
        strategy: of the Trainer, by name or made.

    Raises:
        ValueError: it is one.
    """
    named = isinstance(strategy, str) and strategy.startswith(("fsdp", "deepspeed"))
    require(
        not named and (isinstance(strategy, FullySharded) or not isinstance(strategy, _SHARDING)),
        f"trainer.strategy={strategy if named else type(strategy).__name__}: splits all parameters "
        "among processes, and scores and masks are made of whole ones; choose ddp, or "
        "fully_sharded, Lightning's ModelParallelStrategy that leaves Winograd layers whole",
    )


@contextmanager
def trainer_errors(options: Mapping[str, Any]) -> Iterator[None]:
    """Around the making of a Trainer: errors have the full names of its arguments.

    Args:
        options: of the Trainer.

    Raises:
        ValueError: one is out of range; instead of Lightning's own errors too.
    """
    for name, least in _LEAST.items():
        value = options.get(name)
        require(value is None or value >= least, f"trainer.{name}={value}: at least {least}")
    try:
        yield
    except (MisconfigurationException, ValueError, TypeError) as error:
        text = _named(re.sub(r"`?Trainer\((\w+)=([^)]*)\)`?", r"trainer.\1=\2", str(error)))
        if "trainer." not in text:  # it may name an argument without marking it, or its value
            names = [name for name in options if _holds(text, name)]
            names += [name for name, value in options.items() if _holds(text, value)]
            text = (
                f"trainer.{names[0]}={options[names[0]]}: {text}" if names else f"trainer: {text}"
            )
        raise ValueError(text) from error


@contextmanager
def fit_errors() -> Iterator[None]:
    """Around a training: what Lightning finds wrong with the Trainer's arguments only then.

    Raises:
        ValueError: instead of Lightning's own errors.
    """
    try:
        yield
    except (MisconfigurationException, ValueError) as error:
        text = _named(str(error))
        if text == str(error):
            raise
        raise ValueError(text) from error


def _named(text: str) -> str:
    known = "|".join(parameters(pl.Trainer))
    return re.sub(rf"`({known})(=[^`]*)?`", r"trainer.\1\2", text)


def _holds(text: str, value: Any) -> bool:
    return isinstance(value, str) and bool(re.search(rf"\b{re.escape(value)}\b", text))
