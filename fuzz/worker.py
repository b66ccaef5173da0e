"""One process that reads changed files: ``python -m fuzz.worker`` (started by `python -m fuzz`)."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from types import FrameType

HANG = 10.0  # seconds that no file of a few kilobytes may take
MOST_MORE = 1 << 30  # bytes of memory that none may need
ALLOWED = (ValueError, FileNotFoundError)


class Hang(BaseException):
    """Not an error that a reader may catch."""


def main() -> None:
    """reader, first number, last number, seed, folder, engine: as arguments."""
    name, first, last, seed, folder, engine = sys.argv[1:]
    if engine == "atheris":
        import atheris

        # An editable installation loads modules in a way of its own, which atheris does not follow.
        own = [f for f in sys.meta_path if "Redirecting" in type(f).__name__]
        for finder in own:
            sys.meta_path.remove(finder)
        with atheris.instrument_imports(include=_instrumented(name)):
            from fuzz.readers import READERS
        sys.meta_path += own
    else:
        from fuzz.readers import READERS
    logging.disable(logging.CRITICAL)
    reader = READERS[name]()
    place = Path(folder)
    seeds = reader.seeds()
    path = place / f"file{reader.suffix}"
    signal.signal(signal.SIGALRM, _hang)
    path.write_bytes(seeds[0])
    with contextlib.suppress(*ALLOWED):
        _quietly(reader.read, path)  # imports and pools, before memory is limited
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MOST_MORE, resource.RLIM_INFINITY))
    number = int(first)

    def one(data: bytes) -> None:
        nonlocal number
        path.write_bytes(data)
        (place / "at").write_text(str(number))
        signal.setitimer(signal.ITIMER_REAL, HANG)
        outcome, began = "read", time.perf_counter()
        try:
            _quietly(reader.read, path)
        except ALLOWED as error:
            lines = str(error).strip().count("\n")
            outcome = "refused" if lines < 40 else f"{type(error).__name__} of {lines} lines"
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            outcome = "".join(traceback.format_exception(error))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if outcome not in ("read", "refused"):
            (place / f"finding{number}{reader.suffix}").write_bytes(data)
            (place / f"finding{number}.txt").write_text(outcome)
            outcome = "finding"
        _tell(place, number, outcome, time.perf_counter() - began)
        number += 1

    if engine == "atheris":
        _guided(one, seeds, reader, int(last) - int(first), int(seed), place)
        return
    while number < int(last):
        chance = random.Random(f"{seed} {number}")
        data = chance.choice(seeds)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            data = reader.mutate(data, chance)
        one(data)


def _guided(one, seeds, reader, files, seed, place) -> None:
    """By libFuzzer: files that reach new branches are changed further."""
    import atheris

    corpus = place / "corpus"
    corpus.mkdir(exist_ok=True)
    for index, data in enumerate(seeds):
        (corpus / f"seed{index}").write_bytes(data)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return reader.mutate(data or seeds[0], random.Random(seed))[:most]

    largest = 4 * max(map(len, seeds))
    options = [
        f"-artifact_prefix={place}/",
        f"-runs={files}",
        f"-seed={seed + 1}",
        f"-max_len={largest}",
        "-verbosity=0",
    ]
    options += ["-rss_limit_mb=0", "-timeout=0", "-handle_segv=0", "-len_control=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


def _instrumented(name: str) -> list[str]:
    return {
        "checkpoints": ["videowino.training.checkpoint", "videowino.models", "videowino.winograd"],
        "configs": ["videowino.training", "videowino.cli", "videowino.choice"],
        "deployed": ["videowino.deployment"],
        "lists": ["videowino.data"],
    }[name]


def _quietly(read, path: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)


def _hang(number: int, frame: FrameType | None) -> None:
    raise Hang(f"longer than {HANG:g} s")


def _tell(place: Path, number: int, outcome: str, seconds: float) -> None:
    with (place / "told").open("a") as file:
        print(json.dumps([number, outcome, round(seconds, 4)]), file=file)


if __name__ == "__main__":
    main()
