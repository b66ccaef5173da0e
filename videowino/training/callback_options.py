"""Callbacks as the command line configures them, before they are made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jsonargparse import Namespace
from pytorch_lightning.cli import LightningArgumentParser

from videowino.training.column_options import Budget, Schedule
from videowino.winograd.blocks import Granularity
from videowino.winograd.scores import Score

_COLUMN_SPARSITY = "videowino.callbacks.ColumnSparsity"
_COLUMN_OPTIONS: dict[str, tuple[Any, str]] = {
    "sparsity": (
        float,
        "Column sparsity of the ColumnSparsity callback, which is added if there is none.",
    ),
    "speedup": (
        float,
        "Speedup of the deployed network that the ColumnSparsity callback is to reach.",
    ),
    "score": (Score, "By which the ColumnSparsity callback chooses columns."),
    "budget": (Budget, "How the ColumnSparsity callback weighs columns of different layers."),
    "schedule": (Schedule, "When the ColumnSparsity callback prunes, and whether for good."),
    "granularity": (Granularity, "Whether it prunes whole columns, or blocks of channels of them."),
}


def as_list(value: Any) -> list[Any]:
    """The value of an option that takes one, several, or None."""
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def refuse_twice(trainer: Namespace, kinds: Iterable[type]) -> None:
    """Refuse two of a callback of this project: they would do the same work, one after the other.

    Raises:
        ValueError: there are two.
    """
    names = [callback.class_path.rpartition(".")[2] for callback in as_list(trainer.callbacks)]
    for name in (kind.__name__ for kind in kinds):
        if names.count(name) > 1:
            raise ValueError(
                f"trainer.callbacks: {name} is configured {names.count(name)} times; leave out one "
                "of the configurations or options that bring it"
            )


def add_column_options(parser: LightningArgumentParser) -> None:
    """Options that set what `set_columns_to_keep` is given."""
    for name, (kind, text) in _COLUMN_OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind | None, help=text)


def set_columns_to_keep(config: Namespace) -> None:
    """Give the configured ColumnSparsity callback what the options say; or configure one.

    Args:
        config: of the command, with its trainer's callbacks.

    Raises:
        ValueError: both sparsity and speedup are given.
    """
    given = {name: config[name] for name in _COLUMN_OPTIONS if config[name] is not None}
    if not given:
        return
    if "sparsity" in given and "speedup" in given:
        raise ValueError(
            f"--sparsity {given['sparsity']} and --speedup {given['speedup']}: give one of them"
        )
    callbacks = as_list(config.trainer.callbacks)
    name = _COLUMN_SPARSITY.rpartition(".")[2]
    found = [c for c in callbacks if c.class_path.rpartition(".")[2] == name]
    if not found:
        found = [Namespace(class_path=_COLUMN_SPARSITY, init_args=Namespace())]
        callbacks = [*callbacks, *found]
    for callback in found:
        if "sparsity" in given or "speedup" in given:
            callback.init_args.sparsity = callback.init_args.speedup = None
        for name, value in given.items():
            callback.init_args[name] = value
    config.trainer.callbacks = callbacks
