"""Verify a video set: ``python datasets/verify.py --root DIR --jobs 4``.

Decodes every file, compares lists with files, finds copies, and lists what is not as it should be
as a table and as a CSV that the data modules take (`--data.exclude FILE`). Exit code: 0 where all
is well, 1 where something was found, 2 for bad arguments. docs/data.md says what the kinds mean.
"""

from __future__ import annotations

from videowino.cli import run


def main(args: list[str] | None = None) -> None:
    """Runs the command line `args`, that of the process if None."""
    from videowino.preparing.verify.command import main as verify

    verify(args, __doc__)


if __name__ == "__main__":
    run(main)
