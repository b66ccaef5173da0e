"""What subcommands that compare checkpoints share: their options, and the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from videowino.data import VideoDataModule
from videowino.evaluation.commands.options import add_import, add_machine, choose_device, integers
from videowino.evaluation.compare import compare
from videowino.evaluation.comparison import Comparison
from videowino.evaluation.networks import Network
from videowino.evaluation.tables import comparison_table

BATCH_SIZES = [1, 8]
SECONDS = 10.0


def add_comparison(parser: ArgumentParser) -> None:
    """--baseline, --exact, --batch_sizes, --data, --seconds, and those of the machine."""
    parser.add_argument(
        "--baseline",
        type=str | None,
        help="The dense checkpoint that speed and accuracy are compared with. Without it: the "
        "first dense one of those given, or, for the time alone, an untrained network of the same "
        "architecture.",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="Add the baseline swapped to Winograd convolutions, nothing trained or pruned.",
    )
    parser.add_argument(
        "--batch_sizes",
        type=integers,
        default=BATCH_SIZES,
        help="Clips in a forward pass, for the times, as 1,8.",
    )
    parser.add_argument(
        "--data",
        type=dict[str, Any],
        default={},
        help="Changes to the data settings of the checkpoint, as --data.root DIR, "
        "--data.clips 10, --data.crops 3.",
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="Time to spend timing, a batch size."
    )
    add_import(parser)
    add_machine(parser)


def check_comparison(options: Namespace) -> torch.device:
    """The device to compare on.

    Raises:
        ValueError: there is none, or threads or seconds are out of range.
    """
    device = choose_device(options.device)
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"threads={options.threads}: at least 1")
    if options.seconds < 0:
        raise ValueError(f"seconds={options.seconds}: 0 or more")
    return device


def make_comparison(
    networks: Sequence[Network],
    data: VideoDataModule,
    options: Namespace,
    *,
    layers: bool,
    device: torch.device,
    console: Console,
) -> Comparison:
    """Evaluate and time the networks as the options say, and print the table.

    Args:
        networks: see `videowino.evaluation.compare`.
        data: set up for "test".
        options: those of `add_comparison`, and the whole command line as "command".
        layers: time single layers as well.
        device: to do it on.
        console: to print on.
    """
    found = compare(
        networks,
        data,
        batch_sizes=options.batch_sizes,
        layers=layers,
        budget=options.seconds,
        threads=options.threads,
        device=device,
        console=console,
    )
    console.print(comparison_table(found))
    return replace(found, command=options.command)
