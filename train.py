"""Train, validate, test or predict: ``python train.py fit --config configs/demo.yaml``."""

from __future__ import annotations

import os

# Before torch is imported, which loads OpenMP, GNU's or LLVM's. By default its threads spin for
# milliseconds while they wait, on the cores that decode clips. Spinning for some 50 us costs those
# nothing and bridges the gaps within a network. One of a millisecond takes twice as long where
# threads sleep at once: times measured during training would not be those of the deployed network.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    os.environ.setdefault("KMP_BLOCKTIME", "1")


def main(args: list[str] | None = None) -> None:
    """Runs the command line `args`, that of the process if None."""
    from videowino.training.command import TrainCLI

    TrainCLI(args)


if __name__ == "__main__":
    from videowino.cli import run

    run(main)
