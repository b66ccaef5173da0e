"""Commands of a study that are run once: a stopped study goes on where it was."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def once(
    marker: Path,
    command: Sequence[str],
    *,
    configs: Sequence[Path] = (),
    threads: int = 1,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a command of this project, unless its marker says that this was done.

    Args:
        marker: file that is written when it has succeeded; its log lies beside it.
        command: after `python`.
        configs: files that it depends on.
        threads: for it to compute with.
        env: more of its environment.

    Raises:
        ValueError: it failed, or the marker is of another command or of other configurations.
    """
    contents = hashlib.sha256(b"".join(path.read_bytes() for path in configs)).hexdigest()
    # As it is in any checkout.
    done = f"python {' '.join(command)}\nconfigs {contents[:16]}\n".replace(f"{ROOT}/", "")
    if marker.exists():
        if marker.read_text() != done:
            raise ValueError(
                f"{marker.parent} holds the outcome of another command or configuration (see "
                f"{marker}); choose another folder, or remove it"
            )
        return
    marker.parent.mkdir(parents=True, exist_ok=True)
    with marker.with_suffix(".log").open("a") as log:
        code = subprocess.run(
            [sys.executable, *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)} | dict(env or {}),
            cwd=ROOT,
        ).returncode
    if code:
        lines = marker.with_suffix(".log").read_text().splitlines()
        said = lines[-1] if lines else f"exit code {code}"
        raise ValueError(f"{command[0]} failed, see {log.name}: {said.removeprefix('error: ')}")
    marker.write_text(done)
