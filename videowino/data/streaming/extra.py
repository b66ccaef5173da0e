"""Libraries that only shards need."""

from __future__ import annotations

import importlib.util


def need(module: str, what: str) -> None:
    """See that a library is installed.

    Args:
        module: its name.
        what: needs it.

    Raises:
        ValueError: it is not; the message says how to have it.
    """
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"{what}: needs {module}, which `pip install 'videowino[shards]'` brings")
