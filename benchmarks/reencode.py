"""What re-encoding gains: ``python -m benchmarks.reencode --json FILE``.

Random clips of 16 frames a second of one core's time (so that what else runs matters little), read
by the data modules' reader, from original clips and from the same re-encoded by
`datasets/prepare.py --reencode`; file sizes, and PSNR of all frames against the originals' (scaled
alike). The sources are the clips of a folder like `datasets/` with ucf101 and hmdb51 in it, as far
as they are there, and a made video of 1280x720 with a key frame every 250 frames, as cameras and
video sites write them.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import track
from rich.table import Table

from videowino.cli import run as run_main
from videowino.data.decoding import open_video
from videowino.environment import describe
from videowino.preparing.reencode import Encoding, reencode, upright

_FRAMES = 16
_PEAK = 255.0**2


@dataclass
class Figures:
    """One source in one form.

    Attributes:
        source: which clips.
        form: "original", or the encoding.
        clips_per_second: random clips of 16 frames, opened and read, a second of processor time.
        megabytes: size of the files.
        psnr: of all frames' pixels against the originals', dB; None for the originals.
    """

    source: str
    form: str
    clips_per_second: float
    megabytes: float
    psnr: float | None = None


def make_long(path: Path, frames: int, size: tuple[int, int] = (720, 1280)) -> None:
    """A video whose texture moves over another, as h264 with far key frames."""
    rng = np.random.default_rng(0)
    height, width = size
    rough = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    still = av.VideoFrame.from_ndarray(rough).reformat(width, height, "rgb24").to_ndarray()
    moving = np.ascontiguousarray(still[::-1, ::-1])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "fast", "crf": "23", "x264-params": "keyint=250:scenecut=0"}
        for number in range(frames):
            frame = np.roll(moving, (2 * number, 3 * number), (0, 1))
            frame[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = np.roll(
                still, -2 * number, 1
            )[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame)):
                container.mux(packet)
        container.mux(stream.encode(None))


def throughput(paths: list[Path], seconds: float) -> float:
    """Random clips a second of processor time; a fixed order of draws, each file warm."""
    draw = random.Random(0)
    count, start = 0, time.process_time()
    while (elapsed := time.process_time() - start) < seconds:
        reader = open_video(draw.choice(paths))
        first = draw.randrange(reader.num_frames - _FRAMES)
        reader.get_frames(range(first, first + _FRAMES))
        count += 1
    return count / elapsed


def psnr(originals: list[Path], others: list[Path], encoding: Encoding) -> float:
    """Of the luma and chroma of all frames, dB."""
    error = pixels = 0.0
    for original, other in zip(originals, others):
        with av.open(str(original)) as one, av.open(str(other)) as two:
            first = upright(one.streams.video[0], encoding)
            second = two.decode(two.streams.video[0])
            for a, b in zip(first, second, strict=True):
                x, y = (frame.to_ndarray(format="yuv420p").astype(np.int32) for frame in (a, b))
                error += float(np.square(x - y).sum())
                pixels += x.size
    return float(10 * np.log10(_PEAK * pixels / max(error, 1e-9)))


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.reencode", description=__doc__)
    parser.add_argument("--json", type=Path | None, help="Where to write the figures.")
    parser.add_argument("--data", type=Path, default=Path("datasets"), help="With ucf101, hmdb51.")
    parser.add_argument("--clips", type=int, default=50, help="Clips of each set, at most.")
    parser.add_argument("--codecs", type=list[str], default=["mpeg4", "h264"])
    parser.add_argument("--gops", type=list[int], default=[4, 8, 12, 24])
    parser.add_argument("--qualities", type=list[int] | None, help="By default each codec's own.")
    parser.add_argument("--short_sides", type=list[int], default=[256])
    parser.add_argument("--frames", type=int, default=1500, help="Of the made video; 0 for none.")
    parser.add_argument("--seconds", type=float, default=4.0, help="To read each for.")
    parser.add_argument("--rounds", type=int, default=3, help="Turns; medians are taken.")
    given = parser.parse_args(args)
    console = Console(width=120)
    encodings = [
        Encoding(side, gop, codec, quality)
        for side in given.short_sides
        for codec in given.codecs
        for quality in given.qualities or [None]
        for gop in given.gops
    ]
    every: list[Figures] = []
    with tempfile.TemporaryDirectory() as folder:
        sources: dict[str, list[Path]] = {}
        for name in ("ucf101", "hmdb51"):
            found = sorted((given.data / name).rglob("*.avi"))
            if found:
                sources[name] = random.Random(0).sample(found, min(given.clips, len(found)))
        if given.frames:
            made = Path(folder, "made.mp4")
            with console.status("making a long video"):
                make_long(made, given.frames)
            sources["made 1280x720"] = [made]
        for source, paths in sources.items():
            forms: dict[Encoding | None, list[Path]] = {None: paths}
            for encoding in track(encodings, f"re-encoding {source}", console=console):
                place = Path(folder, source, encoding.tag)
                forms[encoding] = [
                    place / f"{number}{path.suffix}" for number, path in enumerate(paths)
                ]
                for path, to in zip(paths, forms[encoding]):
                    reencode(path, to, encoding)
            speeds: dict[Encoding | None, list[float]] = {form: [] for form in forms}
            for _ in track(range(given.rounds), f"reading {source}", console=console):
                for form, files in forms.items():  # in turns: what else runs slows all alike
                    speeds[form].append(throughput(files, given.seconds))
            for form, files in forms.items():
                every.append(
                    Figures(
                        source,
                        form.tag.removeprefix("videowino ") if form else "original",
                        float(np.median(speeds[form])),
                        sum(path.stat().st_size for path in files) / 1e6,
                        psnr(paths, files, form) if form else None,
                    )
                )
    table = Table("source", "form", "clips/s", "gain", "MB", "PSNR, dB")
    for figures in every:
        original = next(f for f in every if f.source == figures.source)
        table.add_row(
            figures.source,
            figures.form,
            f"{figures.clips_per_second:.0f}",
            f"{figures.clips_per_second / original.clips_per_second:.1f}x",
            f"{figures.megabytes:.1f}",
            f"{figures.psnr:.1f}" if figures.psnr else "",
        )
    environment = describe()
    console.print(
        table,
        f"clips a second of one core's time; medians of {given.rounds}; {environment}",
        highlight=False,
    )
    if given.json:
        content = {"environment": asdict(environment), "figures": [asdict(f) for f in every]}
        given.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    run_main(main)
