"""What a study does once: a stopped one goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from videowino.files import replacing

ROOT = Path(__file__).parents[1]
_running: set[subprocess.Popen[bytes]] = set()
_ending = threading.Event()


def once(
    marker: Path,
    command: Sequence[str],
    *,
    configs: Sequence[Path] = (),
    again: bool = False,
    threads: int = 1,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a command of this project, unless its marker says that this was done.

    Args:
        marker: file that is written when it has succeeded; its log lies beside it.
        command: after `python`.
        configs: files that it depends on.
        again: run it anew where the marker is of something else, instead of refusing; for what
            takes minutes.
        threads: for it to compute with.
        env: more of its environment.

    Raises:
        ValueError: it failed, or the marker is of another command or of other configurations.
    """
    # As it is in any checkout.
    done = f"python {' '.join(command)}\nconfigs {digest(configs)}\n".replace(f"{ROOT}/", "")
    known = marker.read_text() if marker.exists() else None
    if known == done:
        return
    if known is not None and not again:
        raise ValueError(
            f"{marker.parent} holds the outcome of another command or configuration (see "
            f"{marker}); choose another folder, or remove it"
        )
    marker.unlink(missing_ok=True)
    marker.parent.mkdir(parents=True, exist_ok=True)
    with marker.with_suffix(".log").open("a") as log:
        code = _call(
            [sys.executable, *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)} | dict(env or {}),
            cwd=ROOT,
        )
    if code:
        lines = marker.with_suffix(".log").read_text().splitlines()
        said = lines[-1] if lines else f"exit code {code}"
        raise ValueError(f"{command[0]} failed, see {log.name}: {said.removeprefix('error: ')}")
    marker.write_text(done)


def _call(command: Sequence[str], **options: Any) -> int:
    """Exit code. In a group of its own: a terminal's Ctrl-C is for `stopping` to pass on."""
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        _running.add(process)
        if _ending.is_set():  # since this one began
            process.send_signal(signal.SIGINT)
        try:
            return process.wait()
        finally:
            _running.discard(process)


@contextmanager
def stopping() -> Iterator[None]:
    """Around threads that call `once`: what ends this process, or one of them, ends commands too.

    They get Ctrl-C's signal, at which a training stops after a step, with a checkpoint. SIGTERM to
    this process does what Ctrl-C does.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    _ending.clear()
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except BaseException:
        _ending.set()
        for process in tuple(_running):
            process.send_signal(signal.SIGINT)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def measured_once(file: Path, of: str, measure: Callable[[], Any]) -> Any:
    """What is measured, or what was when it was of the same.

    Args:
        file: JSON that keeps it.
        of: what it depends on, as by `digest`.
        measure: what JSON can hold.
    """
    if file.exists():
        kept = json.loads(file.read_text())
        if isinstance(kept, dict) and kept.get("of") == of:
            return kept["measured"]
    measured = measure()
    with replacing(file) as place:
        place.write_text(json.dumps({"of": of, "measured": measured}, indent=1) + "\n")
    return measured


def digest(files: Iterable[Path], said: str = "") -> str:
    """Short, of the contents of files and of what else was said."""
    found = hashlib.sha256()
    for file in files:
        found.update(file.read_bytes())
    found.update(said.encode())
    return found.hexdigest()[:16]
