"""Train, validate, test or predict: ``python train.py fit --config configs/demo.yaml``."""

from __future__ import annotations

from videowino.cli import run


def main(args: list[str] | None = None) -> None:
    """Runs the command line `args`, that of the process if None."""
    from videowino.training.command import TrainCLI

    TrainCLI(args)


if __name__ == "__main__":
    run(main)
