"""Options that subcommands share, and checks of them."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import torch
from jsonargparse import ArgumentParser, Namespace


class Command(Protocol):
    """A subcommand: its options, and what it does with them."""

    help: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""

    def run(self, options: Namespace) -> None:
        """Do it, and print the outcome."""


def add_machine(parser: ArgumentParser) -> None:
    """--threads, --device."""
    parser.add_argument(
        "--threads", type=int | None, help="Threads of PyTorch; its own choice if not given."
    )
    parser.add_argument(
        "--device", type=str, default="auto", help="cpu, cuda, or auto: cuda if there is one."
    )


def add_import(parser: ArgumentParser) -> None:
    """--import."""
    parser.add_argument(
        "--import",
        type=str | list[str] | None,
        help="Module to import first, or [several], as in training.",
    )


def use_threads(threads: int | None) -> None:
    """Let PyTorch work with so many threads from now on; None leaves its choice.

    Raises:
        ValueError: less than one.
    """
    if threads is None:
        return
    if threads < 1:
        raise ValueError(f"threads={threads}: at least 1")
    torch.set_num_threads(threads)


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
