"""The body of `datasets/prepare.py`."""

from __future__ import annotations

import errno
import shlex
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from videowino.cli import explain, option_names, require
from videowino.preparing.index import Index
from videowino.preparing.journal import read_journal
from videowino.preparing.layout import clips_folder, lists_folder
from videowino.preparing.obtain import CHECKSUMS
from videowino.preparing.official import BENCHMARKS, Benchmark
from videowino.preparing.prepare import prepare
from videowino.preparing.reencode import Encoding
from videowino.preparing.reencode_set import Outcome, reencode_set

FOLDER = "folder"  # one's own clips: nothing to unpack
_NAMED = 5
_MISSING = "missing.txt"


def main(args: list[str] | None, description: str | None) -> None:
    """Runs the command line `args`, that of the process if None.

    Raises:
        FileNotFoundError, ValueError: what the user can mend, in one line.
    """
    parser = _parser(description)
    try:
        given = parser.parse_args(args)
    except ArgumentError as error:
        raise ValueError(explain(str(error), option_names(parser))) from error
    require(given.jobs >= 1, f"jobs={given.jobs}: at least 1")
    require(
        given.checksums in CHECKSUMS, f"checksums={given.checksums!r}: {' or '.join(CHECKSUMS)}"
    )
    try:
        complaint = _run(given, Console())
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise ValueError(
            f"{given.root}: the disk is full; make room and run it again: it goes on"
        ) from error
    require(not complaint, complaint)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _parser(description: str | None) -> ArgumentParser:
    parser = ArgumentParser(description=description, exit_on_error=False, allow_abbrev=False)
    names = [*BENCHMARKS, FOLDER]
    parser.add_argument("set", choices=names, help="the data set; folder: clips of your own")
    parser.add_argument(
        "--root", type=Path, required=True, help="its folder, filled or gone on with"
    )
    parser.add_argument("--archives", type=Path | None, help="where the archives are, if elsewhere")
    parser.add_argument(
        "--download", type=bool, default=True, help="whether to download archives that are absent"
    )
    parser.add_argument(
        "--checksums",
        type=str,
        default="error",
        help="what an archive is that differs from its published checksum: error or warn",
    )
    parser.add_argument(
        "--reencode", action="store_true", help="write clips that are fast to read, once"
    )
    parser.add_argument(
        "--out", type=Path | None, help="root of the re-encoded clips; by default ROOT-SHORT_SIDE"
    )
    parser.add_argument(
        "--replace", action="store_true", help="put re-encoded clips in the originals' place"
    )
    parser.add_argument("--jobs", type=int, default=2, help="clips re-encoded at a time")
    parser.add_class_arguments(Encoding, as_group=False)
    return parser


def _run(given: Namespace, console: Console) -> str:
    """What is left to complain about, when all was done that can be."""
    complaint = ""
    benchmark = BENCHMARKS.get(given.set)
    if benchmark is not None:
        with _bars(console) as progress:
            index, done = prepare(
                benchmark,
                given.root,
                progress,
                archives=given.archives,
                may_download=given.download,
                checksums=given.checksums,
            )
        for line in done or [f"{given.root}: already prepared, nothing to do"]:
            _say(console, line)
        _say(console, index.summary())
        console.print(index.table())
        complaint = _missing(index)
        if not complaint and not given.reencode:
            _train_next(console, benchmark, given.root)
    elif not given.root.is_dir():
        raise FileNotFoundError(f"root={str(given.root)!r}: no such folder")
    else:
        require(given.reencode, "folder: there is nothing to unpack; --reencode re-encodes it")
    if given.reencode:
        failed = _reencode(given, benchmark, console)
        complaint = complaint or failed
    return complaint


def _reencode(given: Namespace, benchmark: Benchmark | None, console: Console) -> str:
    require(
        not (given.replace and given.out),
        f"out={str(given.out)!r}: with --replace, clips are put in the originals' place",
    )
    names = ("short_side", "gop", "codec", "quality")
    encoding = Encoding(**{name: given[name] for name in names})
    if benchmark is not None:
        videos, lists = clips_folder(given.root, benchmark), lists_folder(given.root, benchmark)
    else:
        videos = given.root / "videos" if (given.root / "videos").is_dir() else given.root
        lists = given.root / "splits"
    out = given.out or given.root.with_name(f"{given.root.absolute().name}-{encoding.short_side}")
    if given.replace:
        out = given.root
        if benchmark is not None:
            # Sizes are no longer the archive's: absent clips alone will be unpacked from now on.
            journal = read_journal(given.root, benchmark.name)
            journal.complete = True
            journal.write(given.root)
    with _bars(console) as progress:
        outcome = reencode_set(videos, lists, given.root, out, encoding, given.jobs, progress)
    console.print(outcome.table())
    _say(console, outcome.summary())
    if benchmark is not None and not outcome.failed:
        _train_next(console, benchmark, out)
    return _failed(outcome)


def _failed(outcome: Outcome) -> str:
    if not outcome.failed:
        return ""
    some = "; ".join(outcome.failed[:_NAMED])
    return f"{len(outcome.failed)} clips could not be re-encoded and are as they were: {some}"


def _missing(index: Index) -> str:
    listing = index.root / _MISSING
    if index.whole:
        listing.unlink(missing_ok=True)
        return ""
    if not index.missing:
        return (
            f"the lists in {index.root} name {len(index.listed):,} clips, "
            f"{index.benchmark.title} has {index.benchmark.num_clips:,}: unpack the lists again"
        )
    listing.write_text("".join(f"{clip}\n" for clip in index.missing))
    some = ", ".join(clip.name for clip in index.missing[:_NAMED])
    return (
        f"{len(index.missing):,} of {len(index.listed):,} clips are not in {index.root} (all in "
        f"{listing}): {some}{' ...' if len(index.missing) > _NAMED else ''}"
    )


def _train_next(console: Console, benchmark: Benchmark, root: Path) -> None:
    name = Path(benchmark.config).stem
    _say(console, "train next:")
    _say(
        console,
        f"python train.py fit --config {benchmark.config} --data.root {shlex.quote(str(root))} "
        f"--run runs/{name}",
    )


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
