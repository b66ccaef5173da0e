"""Video files and sets to verify: distinct sound videos, sets with lists, one of each odd file."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from tests.data.odd_videos import make_odd_videos


def write_noise(
    path: Path,
    seed: int = 0,
    frames: int = 20,
    codec: str = "mpeg4",
    options: dict[str, str] | None = None,
) -> Path:
    """A video that no other seed gives, each frame another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with av.open(f"file:{path}", "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = 5, 1
        for _ in range(frames):
            pixels = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path) -> Path:
    """The same packets in another container."""
    with av.open(str(source)) as container, av.open(str(target), "w") as out:
        stream = container.streams.video[0]
        copied = out.add_stream_from_template(stream)
        for packet in container.demux(stream):
            if packet.size:
                packet.stream = copied
                out.mux(packet)
    return target


def write_set(root: Path, classes: Sequence[str] = ("Jump", "Run"), groups: int = 3) -> Path:
    """A sound set in UCF101's layout: group 1 is the test list of split 1."""
    lists = root / "splits"
    lists.mkdir(parents=True)
    index, train, test = "", "", ""
    for label, name in enumerate(classes, 1):
        index += f"{label} {name}\n"
        for group in range(1, groups + 1):
            clip = f"{name}/v_{name}_g{group:02d}_c01.avi"
            write_noise(root / "videos" / clip, seed=100 * label + group)
            if group == 1:
                test += f"{clip}\n"
            else:
                train += f"{clip} {label}\n"
    (lists / "classInd.txt").write_text(index)
    (lists / "trainlist01.txt").write_text(train)
    (lists / "testlist01.txt").write_text(test)
    return root


@pytest.fixture(scope="session")
def odd(tmp_path_factory) -> dict[str, Path]:
    """One of each odd file; to be read, not changed."""
    return make_odd_videos(tmp_path_factory.mktemp("odd") / "videos" / "Run")


@pytest.fixture
def sound(tmp_path) -> Path:
    """A set in which there is nothing to find."""
    return write_set(tmp_path / "set")
