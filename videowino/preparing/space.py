"""Room on the disk, looked at before it is needed."""

from __future__ import annotations

import shutil
from pathlib import Path

_RESERVE = 64 << 20  # a full disk hurts everything else on the machine


def require_space(folder: Path, size: int, what: str) -> None:
    """Refuse to begin what cannot end.

    Args:
        folder: where it goes; need not exist yet.
        size: bytes that it takes.
        what: the thing, for the message.

    Raises:
        ValueError: the disk has no room for it.
    """
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < size + _RESERVE:
        raise ValueError(
            f"{folder}: {what} needs {as_gb(size + _RESERVE)}, the disk has {as_gb(free)} left; "
            "make room or name a folder on another disk"
        )


def as_gb(size: int) -> str:
    """Bytes in GB, one decimal; in MB below one."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
