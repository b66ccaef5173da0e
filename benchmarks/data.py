"""Clips a second from files to batches: ``python -m benchmarks.data --json FILE``.

Three questions, each measured in turns in one process, medians:

- decode: milliseconds for the 16 frames of a clip, opening included, by videowino with each of its
  decoders and by the decoders alone, on one thread.
- load: clips a second through decoding, transforms and collation, with 0, 1 and 2 worker
  processes, beside the straightforward way (a decord reader, torchvision's transforms frame by
  frame, DataLoader), for the recipe of UCF101 (resize, crop) and that of one's own clips (random
  resized crop, colours). Nothing is kept in memory between epochs; files are in the page cache.
- wait: the share of a training step that waits for the next batch.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import torch
import torch.nn.functional as F
from jsonargparse import ArgumentParser
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.data_rivals import STRAIGHTFORWARD, bare_decoders, straightforward_loader
from benchmarks.data_sources import RECIPES, Listed, Source, find_sources
from benchmarks.data_table import draw, markdown, tables
from benchmarks.results_table import around, write_between
from videowino.cli import require
from videowino.cli import run as run_main
from videowino.data import SyntheticMotion
from videowino.data.decoding import DECODERS, DecoderError, open_video
from videowino.environment import describe
from videowino.models import create_model
from videowino.timing import alternate, using_threads

OURS = "videowino"
_FRAMES, _BATCH = 16, 8
_STARTS = 4  # clips a file in the decoding figures
#: Name -> network, clips a step, what its data module is made with, whether videos fit in memory.
NETWORKS: dict[str, tuple[dict[str, Any], int, dict[str, Any], bool]] = {
    "r3d_18": ({"name": "r3d_18"}, 4, {"resize": (128, 171)}, False),
    "the demo's": (
        {"name": "r3d_10", "width": 0.25, "stem": "small"},
        16,
        {"frames": 8, "stride": 2, "size": (48, 48), "resize": None, "flip": False},
        True,
    ),
}


@dataclass
class Decoding:
    """Milliseconds to decode a clip of 16 frames, by name; and why some are left out."""

    source: str
    ms: dict[str, float]
    missing: dict[str, str] = field(default_factory=dict)


@dataclass
class Loading:
    """Clips a second, by name: median, and quartiles of the turns."""

    source: str
    recipe: str
    workers: int
    clips: dict[str, float]
    spread: dict[str, tuple[float, float]]

    @property
    def ratio(self) -> float:
        """Videowino's default over the fastest straightforward way."""
        return self.clips[OURS] / max(self.clips[name] for name in STRAIGHTFORWARD)


@dataclass
class Waiting:
    """Of one network's training steps: milliseconds, and the share that waits for data."""

    network: str
    loader: str
    workers: int
    step_ms: float
    wait_ms: float

    @property
    def share(self) -> float:
        """Of the whole, 0 to 1."""
        return self.wait_ms / (self.wait_ms + self.step_ms)


def decoding(source: Source, budget: float) -> Decoding:
    """Decoders on one source; every one gets the same frames to decode."""
    draw_start = random.Random(0)
    clips = []
    for path in source.paths:
        length = open_video(path).num_frames
        clips += [(path, draw_start.randint(0, max(0, length - _FRAMES))) for _ in range(_STARTS)]
    clips = clips[:: max(1, len(clips) // 16)]
    bare, missing = bare_decoders()
    ways: dict[str, Callable[[Path, int, int], object]] = {}
    for name in DECODERS:
        ways[f"{OURS}, {name}"] = lambda path, start, count, name=name: open_video(  # type: ignore[misc]
            path, name
        ).get_frames(range(start, start + count))
    ways |= bare
    calls = {}
    for name, way in ways.items():
        call = _each(way, clips)
        try:
            call()
        except Exception as error:  # decoders fail in their own ways, and the others go on
            missing[name] = str(error).splitlines()[0][:200]
        else:
            calls[name] = call
    times = alternate(calls, budget=budget, threads=1)
    return Decoding(source.name, {n: t.ms / len(clips) for n, t in times.items()}, missing)


def _each(way: Callable[[Path, int, int], object], clips: list[tuple[Path, int]]) -> Callable:
    def call() -> None:
        for path, start in clips:
            way(path, start, _FRAMES)

    return call


def loading(source: Source, recipe: str, workers: int, budget: float) -> Loading:
    """Loaders on one source, all with the same number of workers and clips a batch."""
    large = source.size[0] > 480
    paths = _about(source, (2 if large else 8) * _BATCH)
    count = len(paths)
    loaders: dict[str, DataLoader] = {}
    for name in DECODERS:
        if _reads(source, name):
            title = OURS if name == "auto" else f"{OURS}, {name}"
            loaders[title] = our_loader(
                paths, _BATCH, workers, {**RECIPES[recipe], "decoder": name}
            )
    for name in STRAIGHTFORWARD:
        loaders[name] = straightforward_loader(name, paths, _BATCH, workers, RECIPES[recipe])
    calls = {name: _exhaust(loader) for name, loader in loaders.items()}
    times = alternate(calls, budget=budget, min_repeats=4, warmup=1, threads=1)
    return Loading(
        source.name,
        recipe,
        workers,
        {name: count / timing.median for name, timing in times.items()},
        {name: (count / timing.q3, count / timing.q1) for name, timing in times.items()},
    )


def _reads(source: Source, decoder: str) -> bool:
    try:
        for path in source.paths:
            open_video(path, decoder)
    except (ValueError, DecoderError):
        return False
    return True


def our_loader(
    paths: list[Path], batch_size: int, workers: int, options: dict[str, Any], cache_gb: float = 0
) -> DataLoader:
    """A data module's training loader; a path that comes n times is read n times an epoch."""
    files = list(dict.fromkeys(map(str, paths)))
    data = Listed(
        paths=files,
        times=len(paths) // len(files),
        batch_size=batch_size,
        num_workers=workers,
        cache_gb=cache_gb,
        short_clips="last",
        **options,
    )
    return data.train_dataloader()


def _about(source: Source, count: int) -> list[Path]:
    """About so many paths, each as often as any other."""
    files = source.paths[:count]
    return files * max(1, round(count / len(files)))


def _exhaust(loader: Iterable) -> Callable[[], None]:
    def call() -> None:
        for _ in loader:
            pass

    return call


def waiting(
    name: str, source: Source, workers: int, steps: int, device: str, status: Callable
) -> list[Waiting]:
    """One network trained on batches of each loader, in turns of `steps` steps."""
    network, batch, options, cached = NETWORKS[name]
    paths = _about(source, batch * (steps + 1))
    loaders = {OURS: our_loader(paths, batch, workers, options)}
    if cached:
        loaders[f"{OURS}, cached"] = our_loader(paths, batch, workers, options, cache_gb=0.25)
    loaders["PIL"] = straightforward_loader("PIL", paths, batch, workers, options)
    torch.manual_seed(0)
    model = create_model(network["name"], 8, **{k: v for k, v in network.items() if k != "name"})
    model.to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    turns: dict[str, list[tuple[float, float]]] = {title: [] for title in loaders}
    warmup = 3 if cached else 1  # each worker fills a cache of its own
    for turn in range(warmup + 2):
        for title, loader in loaders.items():
            status(f"{name}, {workers} workers: training on batches of {title}")
            measured = _train(model, optimizer, iter(loader), device)
            if turn >= warmup:
                turns[title].append(measured)
    return [
        Waiting(
            name,
            title,
            workers,
            1e3 * statistics.median(step for step, _ in values),
            1e3 * statistics.median(wait for _, wait in values),
        )
        for title, values in turns.items()
    ]


def _train(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterator, device: str
) -> tuple[float, float]:
    """Seconds a step and seconds a wait, means over the batches; the first batch is not counted."""
    steps: list[float] = []
    waits: list[float] = []
    first = True
    while True:
        begin = time.perf_counter()
        batch = next(batches, None)
        waited = time.perf_counter() - begin
        if batch is None:
            return statistics.fmean(steps), statistics.fmean(waits)
        clip, label = (batch["clip"], batch["label"]) if isinstance(batch, dict) else batch
        clip = clip.to(device).contiguous(memory_format=torch.channels_last_3d)
        loss = F.cross_entropy(model(clip), label.to(device) % 8)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        if not first:
            waits.append(waited)
            steps.append(time.perf_counter() - begin - waited)
        first = False


def demo_source(folder: Path) -> Source:
    """Clips of the synthetic set, as the demo's."""
    data = SyntheticMotion(root=str(folder / "synthetic"), groups=9)
    data.prepare_data()
    paths = [video.path for video in data.videos("train")]
    return Source("synthetic", paths, (64, 64), 20)


def _versions() -> dict[str, str]:
    found = {}
    for package in ("decord2", "av", "torchcodec", "torchvision", "pillow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.data", description=__doc__)
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    parser.add_argument("--png", type=Path | None, help="Where to draw them.")
    parser.add_argument(
        "--docs", type=Path | None, help="Document to write the tables into, between its marks."
    )
    parser.add_argument("--root", type=Path, default=Path("../shared/data"), help="Real clips.")
    parser.add_argument(
        "--made",
        type=Path,
        default=Path(gettempdir()) / "videowino-benchmark",
        help="Folder for the clips that are made: large ones, and the demo's.",
    )
    parser.add_argument(
        "--sources",
        type=list[str] | None,
        help="Names; all by default. Others stay as --json has them.",
    )
    parser.add_argument("--recipes", type=list[str], default=list(RECIPES))
    parser.add_argument("--workers", type=list[int], default=[0, 1, 2])
    parser.add_argument("--networks", type=list[str], default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=4, help="Training steps a turn.")
    parser.add_argument("--device", type=str, default="cpu", help="That the networks train on.")
    parser.add_argument("--budget", type=float, default=8.0, help="Seconds for each comparison.")
    given = parser.parse_args(args)
    for option, known in (("recipes", RECIPES), ("networks", NETWORKS)):
        for name in getattr(given, option):
            require(name in known, f"{option}={name}: choose from {', '.join(known)}")
    require(min(given.workers, default=0) >= 0, f"workers={given.workers}: 0 or more")
    require(given.steps >= 1, f"steps={given.steps}: at least 1")
    for path in (given.json, given.png):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    if given.docs is not None:
        around(given.docs, "throughput")  # before minutes of measuring, not after
    console = Console(width=160)
    with console.status("making the large clips"):
        sources, missing = find_sources(given.root, given.made)
    names = [source.name for source in sources]
    for name in given.sources or ():
        require(name in names, f"sources={name}: choose from {', '.join(names)}")
    sources = [s for s in sources if given.sources is None or s.name in given.sources]
    decoded, loaded, waited = [], [], []
    with console.status("") as status, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*without validation.*")
        for source in sources:
            status.update(f"{source}: decoding")
            decoded.append(decoding(source, given.budget))
            for recipe in given.recipes:
                for workers in given.workers:
                    status.update(f"{source}: {recipe}, {workers} workers")
                    loaded.append(loading(source, recipe, workers, given.budget))
        for name in given.networks:
            source = demo_source(given.made) if name != "r3d_18" else sources[0]
            for workers in given.workers:
                with using_threads(None):
                    waited += waiting(
                        name, source, workers, given.steps, given.device, status.update
                    )
    environment = describe(given.device)
    earlier: dict[str, Any] = {}
    if given.sources is not None and given.json is not None and given.json.is_file():
        earlier = json.loads(given.json.read_text())
    content = {
        "environment": asdict(environment) | {"cores": os.cpu_count(), "packages": _versions()},
        "sources": {s.name: {"size": s.size, "files": len(s.paths)} for s in sources},
        "missing": missing,
        "decode": [asdict(figures) for figures in decoded],
        "load": [asdict(figures) | {"ratio": figures.ratio} for figures in loaded],
        "wait": [asdict(figures) | {"share": figures.share} for figures in waited],
    }
    content = with_earlier(content, earlier)
    for shown in tables(content):
        console.print(shown)
    for name, reason in missing.items():
        console.print(f"left out: {name}: {reason}", highlight=False)
    if given.json:
        given.json.write_text(json.dumps(content, indent=1) + "\n")
    if given.png:
        draw(content, given.png)
    if given.docs:
        write_between(given.docs, "throughput", markdown(content))


def with_earlier(content: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """The figures, and from an earlier file those of sources and networks not measured now."""
    if not earlier:
        return content
    merged = {**content, "sources": earlier["sources"] | content["sources"]}
    for part, key in (("decode", "source"), ("load", "source"), ("wait", "network")):
        now = {row[key] for row in content[part]}
        merged[part] = [row for row in earlier[part] if row[key] not in now] + content[part]
    return merged


if __name__ == "__main__":
    run_main(main)
