"""Checkpoint files that cannot be lost or lie: written to the side, renamed, looked through."""

from __future__ import annotations

import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint beside the one that it replaces, which stays as the one before.

    Whenever the process dies, or the disk is full, there is a whole checkpoint under the name, or
    under that of the one before. For local files; others are Lightning's affair.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write it.

        Raises:
            ValueError: it cannot be written; what was there before still is.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        file = Path(path)
        new = file.with_name(f".{file.name}.new")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as stream:
                torch.save(checkpoint, stream)
                stream.flush()
                os.fsync(stream.fileno())
            if file.exists():
                _keep(file)
            os.replace(new, file)
        except (OSError, RuntimeError) as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            cause = error.__context__ if isinstance(error, RuntimeError) else error
            writer = "PytorchStreamWriter" in str(error) or "inline_container" in str(error)
            if not isinstance(cause, OSError) and not writer:
                raise
            why = cause.strerror if isinstance(cause, OSError) else "the disk took no more"
            kept = (
                "the checkpoint before it is as it was" if file.exists() else "the run has none yet"
            )
            raise ValueError(
                f"{file}: cannot be written ({why}); {kept}: make room, and go on with --ckpt_path "
                "last"
            ) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read one, never running code that is in it."""
        return super().load_checkpoint(path, map_location, weights_only=True)


def before(file: Path) -> Path:
    """Where the checkpoint lies that the file has replaced."""
    return file.with_name(f"{file.stem}-before{file.suffix}")


def fault(file: Path) -> str | None:
    """What is wrong with a checkpoint's bytes; None where nothing is.

    Every entry is read and compared with its checksum, which loading alone does not do.
    """
    if not zipfile.is_zipfile(file):
        return "it is cut short, or no checkpoint"
    try:
        with zipfile.ZipFile(file) as archive:
            bad = archive.testzip()
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError) as error:
        return str(error)
    return None if bad is None else f"{bad} in it was altered"


def _keep(file: Path) -> None:
    """The file under the name of the one before as well, without a moment that has neither."""
    link = file.with_name(f".{file.name}.before")
    link.unlink(missing_ok=True)
    try:
        os.link(file, link)
    except OSError:  # a file system without hard links
        os.replace(file, before(file))
        return
    os.replace(link, before(file))
