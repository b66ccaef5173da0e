"""Progress of finding the fastest algorithms, which takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def tuning(console: Console) -> Iterator[Callable[[int], object]]:
    """Within it a line says what takes so long; yields what `deploy` and `load` call."""
    text = "measuring the algorithms of each layer for this machine"
    with console.status(text) as status:
        yield lambda done: status.update(f"{text}: {done} geometries done")
