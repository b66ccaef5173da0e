"""Made-up files that users' folders hold: broken ones, and good ones that look unusual.

Frames tell their number by their brightness, STEP grey levels apart (see `conftest.frame_numbers`).
"""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

STEP = 10
FRAMES = 24
FPS = 25
#: Whose name alone is odd.
NAMED = ("spaces", "quotes", "emoji", "newline")
#: That hold nothing to train on.
BROKEN = ("empty", "text", "truncated")

_NAMES = {
    "spaces": "v_Run_two  spaces g01 c01.avi",
    "quotes": 'v_Run_it\'s "quoted"_g01_c02.avi',
    "emoji": "v_Run_\N{RUNNER}\N{VARIATION SELECTOR-16}_g01_c03.avi",
    "newline": "v_Run_two\nlines_g01_c04.avi",
}


def make_odd_videos(folder: Path) -> dict[str, Path]:
    """Write them all, each file named by its key but for those whose name is what is odd.

    Returns:
        By kind: empty (0 bytes), text (named .avi), truncated (at 30 % of its bytes), ten_times
        (a header that claims ten times the frames), one_frame, two_frames, large (3840x2160), grey
        (8 bits, no colour), rotated (a display matrix of 90 degrees clockwise), variable_rate,
        spaces, quotes, emoji, newline (in the name), good.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {kind: folder / name for kind, name in _NAMES.items()}
    kinds = "empty text truncated ten_times one_frame two_frames large grey good".split()
    paths |= {kind: folder / f"{kind}.avi" for kind in kinds}
    paths |= {kind: folder / f"{kind}.mp4" for kind in ("rotated", "variable_rate")}

    whole = write(folder / "good.avi", counting())
    content = whole.read_bytes()
    for kind in NAMED:
        paths[kind].write_bytes(content)
    paths["empty"].touch()
    paths["text"].write_text("not a video\n" * 20)
    noise = np.random.default_rng(0).integers(0, 256, (FRAMES, 48, 64, 3), dtype=np.uint8)
    cut = write(paths["truncated"], noise).read_bytes()
    paths["truncated"].write_bytes(cut[: len(cut) * 3 // 10])
    paths["ten_times"].write_bytes(with_frame_count(content, 10 * FRAMES))
    write(paths["one_frame"], counting(1))
    write(paths["two_frames"], counting(2))
    write(paths["large"], counting(6, (2160, 3840)))
    write(paths["grey"], counting(), codec="ffv1", pix_fmt="gray")
    rotate(write(paths["rotated"], half_bright()))
    write(paths["variable_rate"], counting(), times=uneven_times())
    return paths


def counting(frames: int = FRAMES, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Frame i is flat grey, STEP * i bright: T H W C uint8."""
    levels = STEP * np.arange(frames, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (frames, *size, 3))


def half_bright(frames: int = FRAMES, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """The counting video, and its left half black."""
    video = counting(frames, size).copy()
    video[:, :, : size[1] // 2] = 0
    return video


def uneven_times() -> list[int]:
    """When frames are shown, in 1/25 s: the second half of them at a third of the rate."""
    half = FRAMES // 2
    return [*range(half), *(half + 3 * i for i in range(FRAMES - half))]


def write(
    path: Path,
    video: np.ndarray,
    *,
    codec: str = "mpeg4",
    pix_fmt: str = "yuv420p",
    times: list[int] | None = None,
    gop: int = 1,
    b_frames: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode T H W C uint8.

    Args:
        path: Its suffix is the container.
        video: The frames.
        codec: FFmpeg's name.
        pix_fmt: FFmpeg's name.
        times: When frames are shown, in 1/25 s; one after the other if None.
        gop: From key frame to key frame.
        b_frames: Between others.
        options: The encoder's, beside those.
        container_options: The container's.
    """
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt = pix_fmt
        # Key frames at the end of each gop alone.
        stream.options = {"sc_threshold": "1000000000", **(options or {})}
        context = stream.codec_context
        context.gop_size, context.max_b_frames, context.thread_count = gop, b_frames, 1
        context.time_base = Fraction(1, FPS)
        if codec == "mpeg4":
            context.qmin = context.qmax = 2
        for number, pixels in enumerate(video):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_frame_count(avi: bytes, count: int) -> bytes:
    """An .avi whose main and stream headers claim so many frames."""
    changed = bytearray(avi)
    main = changed.index(b"avih") + 8
    struct.pack_into("<I", changed, main + 16, count)
    stream = changed.index(b"strh") + 8
    struct.pack_into("<I", changed, stream + 32, count)
    return bytes(changed)


def rotate(mp4: Path, matrix: tuple[int, int, int, int] = (0, 1, -1, 0)) -> Path:
    """Set the display matrix; to 90 degrees clockwise, as a phone held upright does.

    Args:
        mp4: The file, changed in place.
        matrix: a, b, c, d: the pixel at (x, y) is shown at (a x + c y, b x + d y).
    """
    content = bytearray(mp4.read_bytes())
    header = content.index(b"tkhd")
    assert content[header + 4] == 0, "version 0 of the track header is what FFmpeg writes"
    a, b, c, d = (number << 16 for number in matrix)
    struct.pack_into(">9i", content, header + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    mp4.write_bytes(content)
    return mp4
