"""Work on files in processes that may crash or hang: that costs the file, not the run."""

from __future__ import annotations

import multiprocessing as mp
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

# A function of a path; it calls its second argument whenever there is progress.
Work = Callable[[str, Callable[[], None]], Any]

_PRELOADED = ["videowino.preparing.verify.scan", "videowino.preparing.verify.mend"]
_GRACE = 10  # seconds after which a process that lost its parent ends itself


@dataclass(frozen=True)
class Failure:
    """What became of a file that yielded nothing: `kind` is "timeout" or "crash"."""

    kind: str
    detail: str


def each(
    work: Work, paths: Iterable[str | Path], jobs: int, timeout: float
) -> Iterator[tuple[str, Any]]:
    """Do `work` on each path in so many processes; (path, result) as they come.

    Args:
        work: what to do; it and its results travel between processes.
        paths: files, each handed to one process.
        jobs: processes.
        timeout: seconds without progress (`work`'s second argument, or its end) after which a
            process is ended and replaced.

    Yields:
        The path as text with what `work` returned, or a `Failure`.
    """
    left = deque(str(path) for path in paths)
    workers: list[_Worker] = []
    try:
        while left or workers:
            while left and len(workers) < jobs:
                workers.append(_Worker(work, timeout))
                workers[-1].give(left.popleft())
            wait([w.link for w in workers], max(0.0, min(w.left() for w in workers)))
            for worker in list(workers):
                result = worker.result()
                if result is None:
                    continue
                yield worker.path, result
                if worker.lost:
                    worker.end()
                    workers.remove(worker)
                elif left:
                    worker.give(left.popleft())
                else:
                    worker.end()
                    workers.remove(worker)
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process, the file that it has, and since when there was no progress."""

    def __init__(self, work: Work, timeout: float) -> None:
        self.timeout = timeout
        self.link, other = mp.Pipe()
        context = _context()
        self.process = context.Process(target=_serve, args=(other, work, timeout), daemon=True)
        self.process.start()
        other.close()
        self.lost = self.ready = False
        self.path = ""

    def give(self, path: str) -> None:
        self.path, self.since = path, time.monotonic()
        try:
            self.link.send(path)
        except OSError:  # it is gone; `result` sees that
            pass

    def left(self) -> float:
        """Seconds until it counts as hanging; starting up is no hang."""
        return self.since + self.timeout - time.monotonic() if self.ready else self.timeout

    def result(self) -> Any:
        """What it found, a `Failure`, or None while it is at work."""
        try:
            while self.link.poll():
                message = self.link.recv()
                self.ready, self.since = True, time.monotonic()
                if message is not None:
                    return message
        except (EOFError, OSError):
            self.lost = True
            self.process.join(_GRACE)
            how = _how(self.process.exitcode)
            if not self.ready:  # not this file's fault, nor would the next one fare better
                raise RuntimeError(f"a decoding process did not start: it ended {how}") from None
            return Failure("crash", f"the decoding process ended {how}")
        if self.left() > 0:
            return None
        self.lost = True
        return Failure("timeout", f"no progress in {self.timeout:g} s")

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.link.close()


def _context() -> Any:
    """Processes forked from a clean one: quick to replace, and without this one's threads."""
    if "forkserver" not in mp.get_all_start_methods():
        return mp.get_context("spawn")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _serve(link: Connection, work: Work, timeout: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    last = 0.0

    def alive() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > min(1.0, timeout / 4):
            last = now
            _alarm(timeout + _GRACE)
            link.send(None)

    try:
        alive()
        while True:
            path = link.recv()
            last = 0.0
            alive()
            try:
                result = work(path, alive)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{Path(where.filename).name}:{where.lineno}"
                result = Failure("crash", f"{type(error).__name__}: {error} ({place})")
            _alarm(0)
            link.send(result)
    except (EOFError, OSError):
        return  # the parent is gone


def _alarm(seconds: float) -> None:
    """The system ends this process then, whatever it hangs in and should its parent be gone."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        memory = ", as when memory runs out" if name == "SIGKILL" else ""
        return f"by {name}{memory}"
    return f"with exit code {code}"
