"""Run folders: where a run writes, and what of it a later command finds again."""

from __future__ import annotations

import time
from pathlib import Path

CONFIG = "config.yaml"
CHECKPOINTS = "checkpoints"
METRICS = "metrics.csv"
SPEEDUP = "speedup.csv"
LAST = "last"


def with_config_of_run(args: list[str]) -> list[str]:
    """The arguments, with the config.yaml of the run that they name where they give no config."""
    if any(a == "-c" or a == "--config" or a.startswith(("--config=", "--help")) for a in args):
        return args
    folders = [Path(run) for run in _values(args, "--run")]
    folders += [Path(ckpt).parent.parent for ckpt in _values(args, "--ckpt_path") if ckpt != "last"]
    for folder in folders:
        if _values(args, "--ckpt_path") and (folder / CONFIG).is_file():
            return [args[0], "--config", str(folder / CONFIG), *args[1:]]
    return args


def find_checkpoint(given: str | None, run: Path, subcommand: str) -> str | None:
    """The checkpoint file that `--ckpt_path` means; None starts anew.

    Raises:
        FileNotFoundError: there is none.
    """
    if given is None:
        return None
    path = run / CHECKPOINTS / f"{LAST}.ckpt" if given == "last" else Path(given)
    if path.is_file():
        return str(path)
    if given == "last" and subcommand == "fit" and not holds_run(run):
        return None  # the command that continues a run also starts it, and starts it again
    named = "ckpt_path=last" if given == "last" else f"ckpt_path={given}"
    raise FileNotFoundError(f"{named}: there is no file {path}")


def new_folder(backbone: str) -> Path:
    """A folder below runs/ that no run has yet, named after the network and the time."""
    name = f"{backbone}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, number = Path("runs", name), 2
    while folder.exists():
        folder, number = Path("runs", f"{name}-{number}"), number + 1
    return folder


def holds_run(folder: Path) -> bool:
    """Whether a `fit` has left a checkpoint in the folder: without one, nothing can be lost."""
    return any((folder / CHECKPOINTS).glob("*.ckpt"))


def clear(folder: Path) -> None:
    """Remove the figures of a process that was killed before its first checkpoint."""
    for name in (METRICS, SPEEDUP):
        (folder / name).unlink(missing_ok=True)


def _values(args: list[str], option: str) -> list[str]:
    split = [a.partition("=")[2] for a in args if a.startswith(f"{option}=")]
    return split + [b for a, b in zip(args, args[1:]) if a == option]
