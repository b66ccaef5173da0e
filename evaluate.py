"""Accuracy against measured speedup: ``python evaluate.py compare A.ckpt --baseline D.ckpt``."""

from __future__ import annotations

from videowino.cli import run


def main(args: list[str] | None = None) -> None:
    """Runs the command line `args`, that of the process if None."""
    from videowino.evaluation.command import run_command

    run_command(args)


if __name__ == "__main__":
    run(main)
