"""What a command line owes its user: one clear line and exit code 2 for what the user can mend.

`run` wraps the main function of every script. Errors that say what is wrong with the input end
as ``error: ...``; anything else is a bug and keeps its traceback. Set ``VIDEOWINO_TRACEBACK=1`` to
see every traceback.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import inspect
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from textwrap import shorten
from types import ModuleType
from typing import NoReturn

USER_ERROR = 2
INTERRUPTED = 130

_USER_ERRORS = (
    ValueError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
    argparse.ArgumentError,
)
# A disk that is full or read-only, and files larger than the system lets them be.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# By name: importing Lightning takes seconds. The last three are wandb's.
_NAMED_USER_ERRORS = (
    *("MisconfigurationException", "ShardError", "DecoderError"),
    *("UsageError", "AuthenticationError", "CommError"),
)


def run(main: Callable[[], object]) -> NoReturn:
    """Calls `main` and ends the process with the exit code that its outcome deserves.

    0 when it returns, 2 with one line on stderr for an error the user can mend, 130 when
    interrupted. Other exceptions pass through with their traceback. Warnings become one line each,
    and what videowino's loggers say is printed.
    """
    log, handler = logging.getLogger(__package__), logging.StreamHandler(sys.stdout)
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    warnings.showwarning = _show_warning  # not formatwarning, which Lightning sets at import
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if os.environ.get("VIDEOWINO_TRACEBACK") or not is_user_error(error):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(USER_ERROR)
    finally:
        log.removeHandler(handler)
    sys.exit(0)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {_tidy(str(message))}", file=sys.stderr, flush=True)


def is_user_error(error: BaseException) -> bool:
    """Whether the exception tells of bad input rather than of a bug."""
    named = any(cls.__name__ in _NAMED_USER_ERRORS for cls in type(error).__mro__)
    full = isinstance(error, OSError) and error.errno in _NO_ROOM
    return named or full or isinstance(error, _USER_ERRORS)


def one_line(error: BaseException) -> str:
    """The message of an exception as a single line.

    What a DataLoader worker raised is reduced to the worker's own message, and what jsonargparse
    says about a value to the part that names the option.
    """
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        file = "a file" if error.filename is None else error.filename
        return f"{file}: cannot be written ({error.strerror}); make room, or give another place"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = str(error)
    if "\nOriginal Traceback (most recent call last):" in text:
        text = _raised_in_worker(text)
    return explain(text) or type(error).__name__


def explain(text: str, options: Iterable[str] = (), classes: Iterable[str] = ()) -> str:
    """Says in one line what a parser's error message means, with the nearest name if one is near.

    Args:
        text: message of argparse or jsonargparse; other texts only have their lines joined.
        options: names that the parser takes, without dashes.
        classes: import paths of classes that a class_path may name.
    """
    place = (_find(r'Parser key "([^"]+)":', text) or "").removesuffix(".init_args")
    if required := _find(r"^the following arguments are required: (.+)", text):
        sections = {option.partition(".")[0] for option in options}
        names = [name.partition(".") for name in required.split(", ")]  # of a subcommand
        names = [("", "", "".join(n)) if n[0] in sections else n for n in names]
        return f"the following arguments are required: {', '.join(n[2] or n[0] for n in names)}"
    unknown = _find(r"unrecognized arguments: .*?--([^\s=]+)", text) or _find(
        r"Subcommand '\w+' does not accept option '([^']+)'", text
    )
    if unknown:
        return f"unknown option {unknown!r}{suggestion(unknown, options)}"
    refused = re.search(
        r"Problem with given class_path '([^']+)':\s+Option '([^']+)' is not accepted", text
    )
    if refused:
        class_path, name = refused.groups()
        module, _, cls = class_path.rpartition(".")
        takes = parameters(getattr(importlib.import_module(module), cls))
        known = [f"{place}.{known}" for known in takes]
        unknown = f"{place}.{name.removeprefix('init_args.')}"
        return f"unknown option {unknown!r} of {class_path}{suggestion(unknown, known, place)}"
    lacking = re.search(r"module '([\w.]+)' has no attribute '(\w+)'", text)
    if place and lacking:
        module, name = lacking.groups()
        known = [
            f"{module}.{attribute}"
            for attribute, value in vars(importlib.import_module(module)).items()
            if isinstance(value, (type, ModuleType))
        ]
        return f"{place}: {lacking[0]}{suggestion(f'{module}.{name}', known, module)}"
    bare = _find(r"Expected a dot import path string: (\w+)", text)
    if place and bare:
        paths = {path.rpartition(".")[2]: path for path in classes}
        near = difflib.get_close_matches(bare, paths, n=1)
        hint = f"; did you mean {paths[near[0]]!r}?" if near else ""
        return f"{place}: {bare!r} is no class; give its import path, or keys and values{hint}"
    problem = re.search(r"Problem with given class_path '([^']+)':\s*\n\s+(.+(?:\n {8,}.+)*)", text)
    if problem:
        name, _, rest = _tidy(problem[2]).partition(": ")
        if name == "the following arguments are required":
            return (
                f"{', '.join(f'{place}.{n}' for n in rest.split(', '))} of {problem[1]} is required"
            )
        if re.fullmatch(r"[\w.]+", name):
            return f"{place}.{name} of {problem[1]}: {_first_of(problem[2]) or rest}"
        return f"{place}: {problem[1]}: {_tidy(problem[2])}"
    first = _first_of(text)
    if place and first and first.startswith("Not a valid subclass of"):
        return (
            f"{place}: expected keys and values, those of a class below init_args. Got value: "
            f"{shorten(_find(r'Given value: *(.+)', text) or '', 80)}"
        )
    if first:
        return f"{place}: {first}".removeprefix(": ")
    return _tidy(text)


def _first_of(text: str) -> str | None:
    """Of a value that fits none of several types: what is expected, or what the first type says."""
    found = re.findall(r"\n +- (.+?)(?=\n +- |\n *Given value|\Z)", text, re.DOTALL)
    said = [_tidy(one) for one in found if "Errors:" in text and "NoneType" not in one]
    if not said:
        return None
    expected = [one.removeprefix("Expected ") for one in said if one.startswith("Expected ")]
    if len(expected) < len(said):
        return said[0]
    given = _find(r"\n *Given value: *(.+)", text)
    return f"Expected {', or '.join(expected)}" + ("" if given is None else f". Got value: {given}")


def require(condition: bool, message: str) -> None:
    """Refuse an argument.

    Raises:
        ValueError: with the message, if the condition does not hold.
    """
    if not condition:
        raise ValueError(message)


def suggestion(name: str, known: Iterable[str], place: str = "") -> str:
    """``; did you mean 'x'?`` with the nearest known name, or an empty string.

    Args:
        name: what was given.
        known: what could have been.
        place: dotted prefix of all of them, which makes no two names alike.
    """
    known = list(known)
    if not place and "." in name:  # those of its own section, whose name would make all look alike
        section = name.rpartition(".")[0]
        inside = [n for n in known if n.startswith(f"{section}.")]
        known, place = (inside, section) if inside else (known, "")
    prefix = f"{place}." if place else ""
    tails = [n.removeprefix(prefix) for n in known]
    near = difflib.get_close_matches(name.removeprefix(prefix), tails, n=1)
    return f"; did you mean {prefix + near[0]!r}?" if near else ""


def import_modules(names: str | Iterable[str] | None) -> None:
    """Import modules of the user's own, which register backbones; the working folder counts too.

    Raises:
        ValueError: there is no such module. What goes wrong inside one keeps its traceback.
    """
    for name in [names] if isinstance(names, str) else names or ():
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise ValueError(
                f"import={name}: there is no module {error.name}, neither installed nor in "
                f"{os.getcwd()}; give a module's name, as my_models for my_models.py"
            ) from error


def see_working_folder() -> None:
    """Let modules in the working folder be imported, behind all that is installed."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    """Names of a parser's options, without dashes."""
    return [name.lstrip("-") for action in parser._actions for name in action.option_strings]


def _raised_in_worker(text: str) -> str:
    """The message in `Caught X in DataLoader worker process N`: what follows the traceback."""
    kind = (_find(r"Caught (\w+) in", text) or "").strip()
    _, found, message = text.rpartition(f"\n{kind}: ")
    if not found:  # the traceback names the exception with its module
        message = re.split(rf"\n[\w.]*\b{kind}: ", text)[-1]
    return message


def _tidy(text: str) -> str:
    text = re.sub(r'Parser key "([^"]+)":', r"\1:", text)
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text)
    text = re.sub(r"Expected a typing\.Literal\[(.+?)\]", r"Expected one of \1", text)
    return " ".join(text.split())


def _find(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None


def parameters(cls: type) -> list[str]:
    """Arguments of a class's constructor, those of its bases included where it takes **kwargs."""
    names: list[str] = []
    for base in inspect.getmro(cls):
        if "__init__" in vars(base):
            found = inspect.signature(vars(base)["__init__"]).parameters.values()
            names += [p.name for p in found if p.kind is not p.VAR_KEYWORD]
            if not any(p.kind is p.VAR_KEYWORD for p in found):
                break
    return [n for n in names if n != "self"]
