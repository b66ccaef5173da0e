"""Callbacks as the command line configures them, before they are made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jsonargparse import Namespace

_COLUMN_SPARSITY = "videowino.callbacks.ColumnSparsity"


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


def set_columns_to_keep(
    trainer: Namespace, sparsity: float | None, speedup: float | None, score: str | None
) -> None:
    """Set what the configured ColumnSparsity callback is to reach, and by what; or configure one.

    Args:
        trainer: its options.
        sparsity: None leaves it.
        speedup: instead of a sparsity.
        score: None leaves it.

    Raises:
        ValueError: both sparsity and speedup are given.
    """
    if sparsity is None and speedup is None and score is None:
        return
    if sparsity is not None and speedup is not None:
        raise ValueError(f"--sparsity {sparsity} and --speedup {speedup}: give one of them")
    callbacks = as_list(trainer.callbacks)
    name = _COLUMN_SPARSITY.rpartition(".")[2]
    found = [c for c in callbacks if c.class_path.rpartition(".")[2] == name]
    if not found:
        found = [Namespace(class_path=_COLUMN_SPARSITY, init_args=Namespace())]
        callbacks = [*callbacks, *found]
    for callback in found:
        if score is not None:
            callback.init_args.score = score
        if sparsity is not None or speedup is not None:
            callback.init_args.sparsity, callback.init_args.speedup = sparsity, speedup
    trainer.callbacks = callbacks
