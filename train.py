"""Train, validate, test or predict: ``python train.py fit --config configs/demo.yaml``."""

from __future__ import annotations

import os

from videowino.cli import run

# Read when torch loads OpenMP. By default its threads spin while they wait, on the cores that
# decode clips: measured on two busy cores, an epoch took three to nine times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(args: list[str] | None = None) -> None:
    """Runs the command line `args`, that of the process if None."""
    from videowino.training.command import TrainCLI

    TrainCLI(args)


if __name__ == "__main__":
    run(main)
