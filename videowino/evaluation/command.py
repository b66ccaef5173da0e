"""The command line of `evaluate.py`: one subcommand a class, listed in `COMMANDS`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

import torch
from jsonargparse import ArgumentParser, Namespace

from videowino.cli import (
    explain,
    import_modules,
    option_names,
    parameters,
    see_working_folder,
)
from videowino.data import VideoDataModule
from videowino.evaluation.compare import compare
from videowino.evaluation.networks import data_of, gather
from videowino.evaluation.plot import picture_suffixes, plot_comparison
from videowino.evaluation.tables import comparison_table, layer_table, make_console


class Command(Protocol):
    """A subcommand: its options, and what it does with them."""

    help: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""

    def run(self, options: Namespace) -> None:
        """Do it, and print the outcome."""


class Compare:
    """Checkpoints against their dense baseline."""

    help = "accuracy, size, multiplications and measured time of checkpoints against dense"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""
        parser.add_argument("checkpoints", nargs="+", help="Checkpoints of one backbone.")
        parser.add_argument(
            "--baseline",
            type=str | None,
            help="The dense checkpoint that speed and accuracy are compared with. Without it: the "
            "first dense one of the checkpoints, or, for the time alone, an untrained network of "
            "the same architecture.",
        )
        parser.add_argument(
            "--exact",
            action="store_true",
            help="Add the baseline swapped to Winograd convolutions, nothing trained or pruned.",
        )
        parser.add_argument(
            "--batch_sizes",
            type=integers,
            default=[1, 8],
            help="Clips in a forward pass, for the times, as 1,8.",
        )
        parser.add_argument("--layers", action="store_true", help="Time single layers as well.")
        parser.add_argument("--json", type=str | None, help="Write the figures to this file.")
        parser.add_argument("--png", type=str | None, help="Draw accuracy against speedup.")
        parser.add_argument(
            "--data",
            type=dict[str, Any],
            default={},
            help="Changes to the data settings of the checkpoint, as --data.root DIR, "
            "--data.clips 10, --data.crops 3.",
        )
        parser.add_argument(
            "--import",
            type=str | list[str] | None,
            help="Module to import first, or [several], as in training.",
        )
        parser.add_argument(
            "--seconds", type=float, default=10.0, help="Time to spend timing, a batch size."
        )
        parser.add_argument(
            "--threads", type=int | None, help="Threads of PyTorch; its own choice if not given."
        )
        parser.add_argument(
            "--device", type=str, default="auto", help="cpu, cuda, or auto: cuda if there is one."
        )

    def run(self, options: Namespace) -> None:
        """Evaluate, time, print the table, write the files."""
        device = choose_device(options.device)
        if options.threads is not None and options.threads < 1:
            raise ValueError(f"threads={options.threads}: at least 1")
        if options.seconds < 0:
            raise ValueError(f"seconds={options.seconds}: 0 or more")
        for name, suffixes in (("json", None), ("png", picture_suffixes())):
            if options[name] is not None:
                check_output(name, options[name], suffixes)
        console = make_console()
        networks = gather(options.checkpoints, options.baseline, options.exact)
        result = compare(
            networks,
            data_of(networks, **options.data),
            batch_sizes=options.batch_sizes,
            layers=options.layers,
            budget=options.seconds,
            threads=options.threads,
            device=device,
            console=console,
        )
        console.print(comparison_table(result))
        if options.layers:
            console.print(layer_table(result))
        if options.json is not None:
            result.save_json(options.json)
            console.print(f"figures: {options.json}", soft_wrap=True)
        if options.png is not None:
            plot_comparison(result, options.png)
            console.print(f"picture: {options.png}", soft_wrap=True)


COMMANDS: dict[str, Command] = {"compare": Compare()}


def run_command(args: list[str] | None = None) -> None:
    """Parses a command line and runs its subcommand.

    Raises:
        ValueError, FileNotFoundError: bad input, in one line.
    """
    settings: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}
    parser = ArgumentParser(prog="evaluate.py", description="Evaluate checkpoints.", **settings)
    subcommands = parser.add_subcommands()
    parsers = {}
    for name, command in COMMANDS.items():
        parsers[name] = ArgumentParser(description=command.help, **settings)
        command.add_arguments(parsers[name])
        subcommands.add_subcommand(name, parsers[name], help=command.help)
    see_working_folder()
    try:
        options = parser.parse_args(args)
    except argparse.ArgumentError as error:
        known = [option for sub in parsers.values() for option in option_names(sub)]
        known += [f"data.{name}" for name in parameters(VideoDataModule)]
        raise ValueError(explain(str(error), known)) from error
    import_modules(options[options.subcommand]["import"])
    COMMANDS[options.subcommand].run(options[options.subcommand])


def check_output(option: str, path: str, suffixes: Collection[str] | None = None) -> None:
    """Make sure that a file can be written, before the work that it is to hold.

    Args:
        option: that gave the path, for messages.
        path: the file; its folder is made.
        suffixes: what it may end in; anything if None.

    Raises:
        ValueError: it cannot be written, or ends in something else.
    """
    file = Path(path)
    if file.is_dir():
        raise ValueError(f"{option}={path}: is a folder; give the name of a file in it")
    if suffixes is not None and file.suffix.lower() not in suffixes:
        raise ValueError(
            f"{option}={path}: cannot write {file.suffix or 'a file without suffix'}; give one of "
            f"{', '.join(sorted(suffixes))}"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{option}={path}: its folder cannot be made ({error.strerror}); give another"
        ) from error
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ValueError(f"{option}={path}: no permission to write there; give another place")


def integers(text: str) -> list[int]:
    """The numbers of 1,8 or [1, 8]."""
    return [int(part) for part in str(text).strip("[]").split(",")]


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is cuda where there is one.

    Raises:
        ValueError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device={name}: is no device; give cpu, cuda or auto") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={name}: PyTorch finds no CUDA device here; give cpu")
    return device
