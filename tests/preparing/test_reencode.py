from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from rich.progress import Progress

from tests.data.conftest import write_counting
from videowino.data.decoding import open_video
from videowino.preparing.reencode import Encoding, reencode, tag_of
from videowino.preparing.reencode_set import reencode_set


def pattern(number: int, size: tuple[int, int]) -> np.ndarray:
    """A frame that is dark but for its top left quarter, and brighter from frame to frame."""
    frame = np.full((*size, 3), 40 + 4 * number, np.uint8)
    frame[: size[0] // 2, : size[1] // 2] = 220
    return frame


def write(path: Path, frames=30, size=(48, 64), rate=Fraction(25), times=None, codec="libx264"):
    """A video with one key frame; `times` in milliseconds make its rate variable."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = 300
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"crf": "10"}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(pattern(number, size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path: Path) -> tuple[np.ndarray, list[int], list[float], Fraction, str]:
    """Frames, key frames, times, rate and container."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames, keys, times = [], [], []
        for number, frame in enumerate(container.decode(stream)):
            frames.append(frame.to_ndarray(format="rgb24"))
            times.append(frame.time)
            if frame.key_frame:
                keys.append(number)
        return np.stack(frames), keys, times, stream.average_rate, container.format.name


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_same_frames_at_the_same_times_with_close_key_frames(tmp_path, codec, suffix):
    rate = Fraction(30000, 1001)
    kind = "mpeg4" if suffix == ".avi" else "libx264"
    source = write(tmp_path / f"a{suffix}", rate=rate, codec=kind)
    encoding = Encoding(gop=8, codec=codec)
    assert reencode(source, tmp_path / "out" / source.name, encoding) == 30
    before, keys, _, _, _ = read(source)
    assert keys in ([0], [0, 12, 24])
    after, keys, times, now, container = read(tmp_path / "out" / source.name)
    assert keys == [0, 8, 16, 24]
    assert after.shape == before.shape == (30, 48, 64, 3)
    assert np.abs(after.astype(int) - before).mean() < 3
    assert now == pytest.approx(rate, rel=1e-3)
    assert np.allclose(np.diff(times), 1001 / 30000, atol=2e-3)
    assert {".avi": "avi", ".mp4": "mp4", ".mkv": "matroska"}[suffix] in container
    assert [p.name for p in (tmp_path / "out").iterdir()] == [source.name]


def test_short_side(tmp_path):
    source = write(tmp_path / "a.mp4", frames=4, size=(90, 160))
    reencode(source, tmp_path / "b.mp4", Encoding(short_side=32))
    frames = read(tmp_path / "b.mp4")[0]
    assert frames.shape == (4, 32, 56, 3)  # 56.9 made even
    assert frames[0, :14, :26].mean() > 200 and frames[0, 18:, 30:].mean() < 60
    assert Encoding().size(320, 240) == (320, 240)
    assert Encoding().size(427, 240) == (427, 240)
    assert Encoding(codec="h264").size(427, 241) == (428, 240)
    assert Encoding().size(1080, 1920) == (256, 456)
    assert Encoding().size(3840, 2160) == (456, 256)


def test_an_odd_size_is_kept(tmp_path):
    source = write(tmp_path / "a.avi", frames=5, size=(35, 51), codec="mpeg4")
    reencode(source, tmp_path / "b.avi", Encoding())
    assert read(tmp_path / "b.avi")[0].shape == (5, 35, 51, 3)


def rotate(path: Path, quarter_turns: int) -> None:
    """Give an .mp4's track the matrix with which phones say which way is up."""
    matrices = {  # a b c d of the matrix, as ISO/IEC 14496-12 lays it out
        1: (0, 1, -1, 0),
        2: (-1, 0, 0, -1),
        3: (0, -1, 1, 0),
    }
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = matrices[quarter_turns]
    rows = [(a, b, 0), (c, d, 0), (0, 0, 1)]
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            unit = 1 << (30 if j == 2 else 16)
            at = place + 4 * (3 * i + j)
            data[at : at + 4] = (value * unit).to_bytes(4, "big", signed=True)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("turns", "bright"),
    [(1, (slice(0, 30), slice(26, 48))), (2, (slice(26, 48), slice(34, 64)))]
    + [(3, (slice(34, 64), slice(0, 22)))],
)
def test_rotation_is_applied(tmp_path, turns, bright):
    """Turned clockwise, the bright quarter goes from top left to top right, and so on."""
    source = write(tmp_path / "phone.mp4", frames=3)
    rotate(source, turns)
    reencode(source, tmp_path / "b.mp4", Encoding())
    frames = read(tmp_path / "b.mp4")[0]
    assert frames.shape == (3, 48, 64, 3) if turns == 2 else (3, 64, 48, 3)
    assert frames[0][bright].mean() > 200
    assert frames[0].mean() < 110  # the rest is dark
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert not next(container.decode(video=0)).rotation


def test_a_variable_rate_is_kept(tmp_path):
    times = [0, 33, 66, 200, 400, 433, 466, 1000, 1033, 1066]
    source = write(tmp_path / "a.mp4", frames=10, times=times)
    for codec in ("mpeg4", "h264"):
        reencode(source, tmp_path / "b.mp4", Encoding(codec=codec))
        frames, _, after, _, _ = read(tmp_path / "b.mp4")
        assert len(frames) == 10
        assert 1000 * np.array(after) == pytest.approx(np.array(times), abs=1)


def test_a_rate_that_mpeg4_cannot_say_exactly(tmp_path):
    """Slow motion of a phone: 120000 ticks a second are more than MPEG-4 has."""
    source = write(tmp_path / "a.mp4", rate=Fraction(120000, 1001))
    reencode(source, tmp_path / "b.mp4", Encoding())
    _, _, times, rate, _ = read(tmp_path / "b.mp4")
    assert float(rate) == pytest.approx(120000 / 1001, rel=1e-4)
    assert times == pytest.approx([number * 1001 / 120000 for number in range(30)], abs=1e-4)


def test_in_place(tmp_path):
    source = write(tmp_path / "a.mp4")
    before = source.read_bytes()
    reencode(source, source, Encoding(gop=4))
    assert source.read_bytes() != before and tag_of(source) == Encoding(gop=4).tag
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_tags(tmp_path):
    source = write_counting(tmp_path / "a.avi")
    assert tag_of(source) is None
    (tmp_path / "text.avi").write_text("no video")
    assert tag_of(tmp_path / "text.avi") is None
    for suffix in (".avi", ".mp4", ".mkv"):
        place = tmp_path / f"b{suffix}"
        reencode(source.rename(source.with_suffix(suffix)), place, Encoding(gop=5))
        assert tag_of(place) == "videowino mpeg4 q3 short side 256 gop 5"
        source = source.with_suffix(suffix)


def test_what_cannot_be_decoded_leaves_nothing(tmp_path):
    bad = tmp_path / "bad.avi"
    bad.write_text("no video")
    with pytest.raises(ValueError, match="bad.avi: cannot be re-encoded: Invalid data"):
        reencode(bad, tmp_path / "out" / "bad.avi", Encoding())
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"short_side": 8}, "short_side=8: at least 16"),
        ({"gop": 0}, "gop=0: from 1 to 600 frames"),
        ({"codec": "vp9"}, "codec='vp9': mpeg4 or h264"),
        ({"quality": 0}, "quality=0: from 1 to 31"),
        ({"quality": 52, "codec": "h264"}, "quality=52: from 0 to 51"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Encoding(**options)


# A whole root.


@pytest.fixture
def root(tmp_path):
    for name in ("Run/a.avi", "Run/odd !+(1) 'ü'.mp4", "Jump/b.avi"):
        write_counting(tmp_path / "root" / "videos" / name)
    (tmp_path / "root" / "splits").mkdir()
    (tmp_path / "root" / "splits" / "classInd.txt").write_text("1 Jump\n2 Run\n")
    return tmp_path / "root"


def go(root, out, encoding=Encoding(), jobs=2):  # noqa: B008
    with Progress(disable=True) as progress:
        return reencode_set(root / "videos", root / "splits", root, out, encoding, jobs, progress)


def test_a_set_to_the_side(root, tmp_path):
    out = tmp_path / "out"
    (root / "videos" / "Run" / "bad.avi").write_text("no video")
    outcome = go(root, out)
    assert (outcome.done, outcome.before) == (3, 0)
    assert len(outcome.failed) == 1 and "bad.avi: cannot be re-encoded" in outcome.failed[0]
    names = sorted(p.relative_to(root) for p in (root / "videos").rglob("*.*"))
    assert sorted(p.relative_to(out) for p in (out / "videos").rglob("*.*")) == names
    assert (out / "videos" / "Run" / "bad.avi").read_text() == "no video"
    assert (out / "splits" / "classInd.txt").read_text() == "1 Jump\n2 Run\n"
    for name in names:
        if name.name != "bad.avi":
            frames = open_video(out / name).get_frames(range(12))
            assert frames.float().mean((1, 2, 3)).tolist() == pytest.approx(
                [10.0 * n for n in range(12)], abs=3
            )
            assert tag_of(root / name) is None


def test_a_set_goes_on_and_knows_another_encoding(root, tmp_path):
    out = tmp_path / "out"
    go(root, out)
    places = sorted((out / "videos").rglob("*.*"))
    places[0].unlink()
    (out / "videos" / "Run" / ".x.avi.part").write_text("half")
    times = [p.stat().st_mtime_ns for p in places[1:]]
    outcome = go(root, out, jobs=1)
    assert (outcome.done, outcome.before, outcome.failed) == (1, 2, [])
    assert [p.stat().st_mtime_ns for p in places[1:]] == times
    assert not list(out.rglob("*.part"))
    outcome = go(root, out, Encoding(gop=3))
    assert (outcome.done, outcome.before) == (3, 0)


def test_a_set_in_place(root):
    outcome = go(root, root)
    assert (outcome.done, outcome.failed) == (3, [])
    assert {tag_of(p) for p in (root / "videos").rglob("*.*")} == {Encoding().tag}
    assert go(root, root).before == 3
    outcome = go(root, root, Encoding(gop=3))
    assert outcome.done == 0 and len(outcome.failed) == 3
    assert "was re-encoded before, as 'videowino mpeg4 q3" in outcome.failed[0]


def test_misuse_of_a_set(root, tmp_path):
    with pytest.raises(ValueError, match="inside .*videos, whose clips it would join"):
        go(root, root / "videos" / "small")
    with pytest.raises(ValueError, match="no video files in .*splits"), Progress() as progress:
        reencode_set(root / "splits", root, root, tmp_path / "o", Encoding(), 1, progress)


@pytest.mark.data
def test_real_clips(shared_data, tmp_path):
    clips = sorted((shared_data / "ucf101").rglob("*.avi"))[:2]
    clips += sorted((shared_data / "hmdb51").rglob("*.avi"))[:2]
    for clip in clips:
        place = tmp_path / clip.name
        count = reencode(clip, place, Encoding())
        before, after = open_video(clip), open_video(place)
        # The second packet of HMDB51's clips is a single byte, and holds no frame.
        assert after.num_frames == count and 0 <= before.num_frames - count <= 1
        assert after.fps == pytest.approx(before.fps, rel=1e-3)
        wanted = [0, count // 2, count - 3]
        one, two = (reader.get_frames(wanted).float() for reader in (before, after))
        assert (one - two).square().mean().sqrt() < 5
