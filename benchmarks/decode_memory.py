"""Memory and open files over 20,000 decoded clips: ``python -m benchmarks.decode_memory --help``.

Each decoder runs in a process of its own, over all videos of some folders again and again, as an
epoch after the other does; what it holds is read from the system after every hundredth clip.
"""

from __future__ import annotations

import gc
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from videowino.cli import run as run_main
from videowino.data.decoding import DecoderError, open_video
from videowino.data.splits import VIDEO_SUFFIXES

_FRAMES = 16  # a clip
_EVERY = 100  # clips between two readings
_WARM = 0.1  # of the clips until caches and pools are as large as they get


@dataclass
class Course:
    """What one decoder's process held.

    Attributes:
        decoder: its name.
        clips: how many were decoded at each reading.
        megabytes: resident memory then.
        files: open files then.
        refused: videos that it cannot read single frames of, left out.
    """

    decoder: str
    clips: list[int] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    refused: int = 0

    @property
    def growth(self) -> float:
        """Megabytes from the end of the warm-up to the end, of straight lines through both."""
        start = int(_WARM * len(self.megabytes))
        tenth = max(1, (len(self.megabytes) - start) // 10)
        first = self.megabytes[start : start + tenth]
        last = self.megabytes[-tenth:]
        return sum(last) / len(last) - sum(first) / len(first)


def decode(decoder: str, paths: Sequence[Path], clips: int, told: Connection) -> None:
    """Decodes in this process, and sends a `Course` at each reading."""
    torch.set_num_threads(1)
    course = Course(decoder)
    usable = [path for path in paths if _takes(path, decoder)]
    course.refused = len(paths) - len(usable)
    generator = torch.Generator().manual_seed(0)
    for clip in range(clips):
        reader = open_video(usable[clip % len(usable)], decoder)
        room = max(1, reader.num_frames - _FRAMES)
        start = int(torch.randint(room, (), generator=generator))
        stop = min(start + _FRAMES, reader.num_frames)
        reader.get_frames(range(start, stop))
        del reader
        if clip % _EVERY == 0 or clip == clips - 1:
            gc.collect()
            course.clips.append(clip + 1)
            course.megabytes.append(_resident())
            course.files.append(len(os.listdir("/proc/self/fd")))
            told.send(course)
    told.close()


def _takes(path: Path, decoder: str) -> bool:
    try:
        open_video(path, decoder).get_frames([0])
    except (ValueError, DecoderError):
        return False
    return True


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(decoders: Sequence[str], paths: Sequence[Path], clips: int) -> list[Course]:
    """One course a decoder, one after the other.

    Raises:
        RuntimeError: a decoder's process ended before it was done.
    """
    found = []
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        for decoder in decoders:
            task = bar.add_task(decoder, total=clips)
            here, there = get_context("spawn").Pipe(duplex=False)
            process = get_context("spawn").Process(
                target=decode, args=(decoder, paths, clips, there), daemon=True
            )
            process.start()
            there.close()
            course = Course(decoder)
            try:
                while True:
                    course = here.recv()
                    bar.update(task, completed=course.clips[-1])
            except EOFError:
                process.join()
            if process.exitcode or course.clips[-1:] != [clips]:
                raise RuntimeError(f"{decoder}: its process ended with {process.exitcode}")
            found.append(course)
    return found


def plot(courses: Sequence[Course], path: Path) -> None:
    """Resident memory against clips, a line a decoder."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), dpi=150, layout="constrained")
    for course in courses:
        axes.plot(course.clips, course.megabytes, label=course.decoder, linewidth=1.2)
    axes.set_xlabel(f"clips of {_FRAMES} frames decoded")
    axes.set_ylabel("resident memory, MB")
    axes.set_ylim(0, None)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def table(courses: Sequence[Course]) -> Table:
    """What there was after the warm-up, what came on top, and open files."""
    made = Table("decoder", "clips", "videos refused", "after warm-up", "growth", "open files")
    for course in courses:
        warm = course.megabytes[int(_WARM * len(course.megabytes))]
        made.add_row(
            course.decoder,
            f"{course.clips[-1]:,}",
            str(course.refused),
            f"{warm:.0f} MB",
            f"{course.growth:+.1f} MB",
            f"{course.files[0]} to {course.files[-1]}",
        )
    return made


def main(args: list[str] | None = None) -> None:
    """Runs the command line `args`, that of the process if None."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--roots", type=list[str], required=True, help="folders of videos")
    parser.add_argument("--decoders", type=list[str], default=["decord", "pyav"])
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--json", type=str, help="write every reading here")
    parser.add_argument("--png", type=str, help="draw memory against clips here")
    options = parser.parse_args(args)
    warnings.simplefilter("ignore")
    paths = sorted(
        path
        for root in options.roots
        for path in Path(root).rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES
    )
    if not paths:
        raise ValueError(f"roots={options.roots}: no video in them")
    courses = measure(options.decoders, paths, options.clips)
    Console().print(table(courses))
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(course) for course in courses]) + "\n")
    if options.png:
        plot(courses, Path(options.png))
        print(f"picture: {options.png}")


if __name__ == "__main__":
    run_main(main)
