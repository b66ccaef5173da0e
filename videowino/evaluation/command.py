"""The command line of `evaluate.py`: one subcommand a file, in `commands`."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

from jsonargparse import ArgumentParser

from videowino.cli import (
    explain,
    import_modules,
    option_names,
    parameters,
    see_working_folder,
)
from videowino.data import VideoDataModule
from videowino.evaluation.commands import COMMANDS


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
    chosen = options[options.subcommand]
    typed = sys.argv[1:] if args is None else args
    chosen.command = shlex.join(["python", "evaluate.py", *typed])
    COMMANDS[options.subcommand].run(chosen)
