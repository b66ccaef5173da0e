"""Re-encode all clips of a root, in parallel, going on where a former call stopped."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rich.progress import Progress
from rich.table import Table

from videowino.data.splits import VIDEO_SUFFIXES
from videowino.preparing.archives import PART
from videowino.preparing.reencode import Encoding, reencode_once
from videowino.preparing.space import as_gb, require_space

_AHEAD = 4  # clips in the queue of each process


@dataclass
class Outcome:
    """What became of a root's clips.

    Attributes:
        out: root of the re-encoded clips.
        done: re-encoded in this call.
        before: found re-encoded.
        failed: one line each.
        bytes_in: size of the sources of this call's clips.
        bytes_out: their size now.
        seconds: that it took.
    """

    out: Path
    done: int = 0
    before: int = 0
    failed: list[str] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0

    def table(self) -> Table:
        """One row."""
        table = Table("re-encoded", "were there", "failed", "size before", "size now", "seconds")
        sizes = [as_gb(self.bytes_in), as_gb(self.bytes_out)] if self.done else ["-", "-"]
        counts = [f"{n:,}" for n in (self.done, self.before, len(self.failed))]
        table.add_row(*counts, *sizes, f"{self.seconds:.0f}")
        return table

    def summary(self) -> str:
        """Where they are."""
        return f"re-encoded clips are in {self.out}"


def reencode_set(
    videos: Path,
    lists: Path,
    root: Path,
    out: Path,
    encoding: Encoding,
    jobs: int,
    progress: Progress,
) -> Outcome:
    """Re-encode every clip below `videos` to the same name below `out`.

    A clip is whole where it has its name: it is written beside and renamed. Clips that are there
    in this encoding are left alone, so an interrupted call goes on. A clip that cannot be
    re-encoded is copied as it is, and named.

    Args:
        videos: folder of the class folders.
        lists: folder of the split lists, copied along where there is one.
        root: what both are in.
        out: root of the result; `root` itself puts the results in the originals' place.
        encoding: how.
        jobs: processes.
        progress: a bar is added to it.

    Raises:
        ValueError: nothing to re-encode, no room, or clips in `out` were re-encoded otherwise.
    """
    replace = out.absolute() == root.absolute()
    clips = sorted(p for p in videos.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and _real(p))
    if not clips:
        raise ValueError(f"root={str(root)!r}: no video files in {videos}")
    if not replace and out.absolute().is_relative_to(videos.absolute()):
        raise ValueError(f"out={str(out)!r}: inside {videos}, whose clips it would join")
    total = sum(p.stat().st_size for p in clips)
    need = max(p.stat().st_size for p in clips) if replace else _left(clips, videos, out)
    require_space(out, need, "re-encoding")
    if not replace and lists.is_dir():
        shutil.copytree(lists, out / lists.name, dirs_exist_ok=True)
    outcome = Outcome(out)
    start = time.monotonic()
    task = progress.add_task("Re-encoding", total=total)
    places = [(p, p if replace else out / "videos" / p.relative_to(videos)) for p in clips]
    queue = iter(places)
    # Not forked: this process has threads (the bar's), and a child that decodes must not inherit.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, len(clips)), mp_context=context)
    running: dict[Future[tuple[str, int]], tuple[Path, Path, int]] = {}
    try:
        while True:
            for source, place in islice(queue, jobs * _AHEAD - len(running)):
                future = pool.submit(reencode_once, source, place, encoding)
                running[future] = source, place, source.stat().st_size
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                source, place, size = running.pop(future)
                _note(outcome, future, source, place, size)
                progress.advance(task, size)
    except BrokenProcessPool:
        names = ", ".join(source.name for source, _, _ in running.values())
        raise ValueError(
            f"a decoder crashed on one of {names}; remove the bad one (the rest goes on)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
    for left in (videos if replace else out).rglob(f".*{PART}"):
        left.unlink()
    outcome.seconds = time.monotonic() - start
    return outcome


def _note(
    outcome: Outcome, future: Future[tuple[str, int]], source: Path, place: Path, size: int
) -> None:
    try:
        what, now = future.result()
    except ValueError as error:
        outcome.failed.append(str(error))
        if source != place and not place.exists():
            part = place.with_name(f".{place.name}{PART}")
            part.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, part)
            os.replace(part, place)
        return
    if what == "before":
        outcome.before += 1
        return
    outcome.done += 1
    outcome.bytes_in += size
    outcome.bytes_out += now


def _left(clips: list[Path], videos: Path, out: Path) -> int:
    """Bytes of the clips that are not there yet: re-encoded ones are about as large."""
    there = [p for p in clips if (out / "videos" / p.relative_to(videos)).exists()]
    return sum(p.stat().st_size for p in clips) - sum(p.stat().st_size for p in there)


def _real(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")
