"""Run folders: where a run writes, and what of it a later command finds again."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from videowino.cli import is_user_error
from videowino.training.checkpoint_file import before, fault

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


def configs(args: list[str]) -> list[Path]:
    """The configuration files that the arguments name."""
    return [Path(path) for option in ("--config", "-c") for path in _values(args, option)]


def find_checkpoint(given: str | None, run: Path, subcommand: str) -> str | None:
    """The checkpoint file that `--ckpt_path` means; None starts anew.

    The last one of a run is the newest that is not damaged; a damaged one is warned of.

    Raises:
        FileNotFoundError: there is none.
        ValueError: all of the run's are damaged.
    """
    if given is None:
        return None
    path = run / CHECKPOINTS / f"{LAST}.ckpt" if given == "last" else Path(given)
    if given == "last" and (found := _newest_sound(path)):
        return found
    if given != "last" and path.is_file():
        return str(path)
    if given == "last" and subcommand == "fit" and not holds_run(run):
        return None  # the command that continues a run also starts it, and starts it again
    named = "ckpt_path=last" if given == "last" else f"ckpt_path={given}"
    raise FileNotFoundError(f"{named}: there is no file {path}")


def _newest_sound(last: Path) -> str | None:
    faults: list[str] = []
    for file in (last, before(last)):
        if not file.is_file():
            continue
        why = fault(file)
        if why is None:
            for said in faults:
                warnings.warn(f"{said}; going on from {file}, the one before", stacklevel=3)
            return str(file)
        faults.append(f"{file}: is damaged ({why})")
    if faults:
        raise ValueError(
            f"{'; '.join(faults)}; there is no other: start again in another folder, or bring "
            "back a copy"
        )
    return None


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Makes a run folder and keeps other trainings out of it, for as long as this one lasts.

    A new folder goes again if bad input, or a full disk, ends it before its first figures.

    Raises:
        ValueError: another one holds it, or it cannot be written to.
    """
    folder = run / CHECKPOINTS
    new = not run.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"run={run}: another training is writing to it; wait until it has ended, or choose "
            "another folder"
        ) from None
    except OSError as error:
        raise ValueError(
            f"run={run}: cannot be written to ({error.strerror}); choose another folder"
        ) from error
    try:
        yield
    except Exception as error:
        if new and is_user_error(error) and not holds_run(run) and not (run / METRICS).exists():
            shutil.rmtree(run, ignore_errors=True)
        raise
    finally:
        lock.release()


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
