"""Unpack UCF101 or HMDB51, and re-encode clips: ``python datasets/prepare.py ucf101 --root DIR``.

Finds the official archives in --root or --archives, or downloads them; unpacks lists and clips;
says how many of the official clips are there. An interrupted call goes on where it was.
datasets/ucf101.md and datasets/hmdb51.md say where the archives come from, docs/data.md what
re-encoding gains.
"""

from __future__ import annotations

from videowino.cli import run


def main(args: list[str] | None = None) -> None:
    """Runs the command line `args`, that of the process if None."""
    from videowino.preparing.command import main as prepare

    prepare(args, __doc__)


if __name__ == "__main__":
    run(main)
