import hashlib
import os
import shutil

import av
import numpy as np
import pytest

from tests.data.odd_videos import NAMED
from tests.preparing.verify.conftest import remux, write_noise
from videowino.preparing.verify.scan import scan_file

FAST = {"movflags": "faststart"}  # the index of an .mp4 before its frames


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def damage(path, place, count, value=0):
    content = bytearray(path.read_bytes())
    start = int(place * len(content))
    content[start : start + count] = bytes([value]) * count
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "kind", "detail"),
    [
        ("empty", "empty", "0 bytes"),
        ("text", "not a video", "text: 'not a video not a video not a video not '..."),
        ("truncated", "truncated", "70% of the file are missing: 7 of 24 frames decode"),
        ("ten_times", "wrong header", "its header claims 240 frames, 24 decode"),
        *((name, "", "") for name in ("one_frame", "two_frames", "large", "grey", "good", *NAMED)),
        ("rotated", "", ""),
        ("variable_rate", "", ""),
    ],
)
def test_each_odd_file_by_its_name(odd, name, kind, detail):
    scan = scan_file(odd[name])
    assert (scan.kind, scan.detail) == (kind, detail)


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("good", []),
        ("grey", [("grey", "")]),
        ("large", [("large", "3840x2160")]),
        ("rotated", [("rotated", "270 degrees")]),
        ("variable_rate", [("variable rate", "")]),
        *((name, [("odd name", "")]) for name in NAMED),
    ],
)
def test_what_is_good_but_worth_knowing(odd, name, notes):
    assert scan_file(odd[name]).notes == notes


def test_what_is_known_of_a_sound_file(odd):
    scan = scan_file(odd["good"])
    assert (scan.frames, scan.claimed, scan.damaged) == (24, 24, 0)
    assert (scan.width, scan.height) == (64, 48)
    assert len(scan.file_hash) == len(scan.frames_hash) == 32


def test_the_hash_of_frames_is_that_of_what_is_seen(odd, tmp_path):
    first = write_noise(tmp_path / "first.avi", seed=1)
    other = write_noise(tmp_path / "other.avi", seed=2)
    again = remux(first, tmp_path / "again.mkv")
    scans = [scan_file(path) for path in (first, again, other)]
    assert scans[0].file_hash != scans[1].file_hash
    assert scans[0].frames_hash == scans[1].frames_hash != scans[2].frames_hash
    last = scan_file(write_noise(tmp_path / "last.avi", seed=1, frames=19))
    assert last.frames_hash != scans[0].frames_hash


def test_rotated_frames_are_other_frames(odd, tmp_path):
    turned = scan_file(odd["rotated"])
    flat = tmp_path / "flat.mp4"
    content = bytearray(odd["rotated"].read_bytes())
    matrix = content.index(b"tkhd") + 44
    one = (1 << 16).to_bytes(4, "big")
    none = bytes(4)
    content[matrix : matrix + 36] = (
        one + none + none + none + one + none + none + none + (1 << 30).to_bytes(4, "big")
    )
    flat.write_bytes(content)
    assert scan_file(flat).notes == []
    assert scan_file(flat).frames_hash != turned.frames_hash


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "as_array"),
    [("mpeg4", "yuv420p", "yuv420p"), ("ffv1", "gray", "gray"), ("ffv1", "bgr0", "rgb24")],
)
def test_the_hash_is_of_pixels_alone(tmp_path, codec, pix_fmt, as_array):
    """Of frames 50 pixels wide, whose lines FFmpeg fills up with what it likes."""
    path = tmp_path / "narrow.avi"
    pixels = np.random.default_rng(0).integers(0, 256, (36, 50, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 50, 36, pix_fmt
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    expected = hashlib.blake2b(b"0", digest_size=16)
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            expected.update(b"50x36")
            if as_array == "yuv420p":  # half as high and wide
                planes = [np.frombuffer(plane, np.uint8) for plane in frame.planes]
                for plane, values in zip(frame.planes, planes):
                    lines = values.reshape(-1, plane.line_size)[: plane.height]
                    assert plane.line_size > plane.width
                    expected.update(lines[:, : plane.width].tobytes())
            else:
                expected.update(frame.to_ndarray(format=as_array).tobytes())
    assert scan_file(path).frames_hash == expected.hexdigest()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".flv"])
def test_truncated_in_any_container(tmp_path, suffix):
    options = FAST if suffix == ".mp4" else {}
    whole = write_noise(tmp_path / f"cut{suffix}", 0, 90, "libx264", options)
    scan = scan_file(cut(whole, 0.6))
    assert scan.kind == "truncated"
    assert 30 < scan.frames < 60


def test_truncated_before_the_index(tmp_path):
    scan = scan_file(cut(write_noise(tmp_path / "cut.mp4"), 0.5))
    assert scan.kind == "truncated"
    assert scan.detail.endswith("of the file are missing; does not open (moov atom not found)")
    assert scan.frames_hash == "" and scan.file_hash


def test_a_few_bytes_less_are_no_fault(tmp_path):
    path = write_noise(tmp_path / "cut.avi")
    path.write_bytes(path.read_bytes()[:-30])  # of the index at the end
    assert scan_file(path).kind == ""
    assert scan_file(path).frames == 20


def test_a_tail_that_is_not_there_is_a_note(tmp_path, odd):
    content = bytearray(odd["good"].read_bytes())
    for mark, place in ((b"avih", 24), (b"strh", 40)):
        start = content.index(mark) + place
        content[start : start + 4] = (27).to_bytes(4, "little")
    path = tmp_path / "tail.avi"
    path.write_bytes(content)
    scan = scan_file(path)
    assert scan.kind == ""
    assert scan.notes == [("header a few frames off", "27 claimed, 24 decode")]
    content = content.replace((27).to_bytes(4, "little"), (28).to_bytes(4, "little"))
    path.write_bytes(content)
    assert scan_file(path).kind == "wrong header"


def test_a_header_that_claims_too_few(odd, tmp_path):
    content = bytearray(odd["good"].read_bytes())
    for mark, place in ((b"avih", 24), (b"strh", 40)):
        start = content.index(mark) + place
        content[start : start + 4] = (4).to_bytes(4, "little")
    path = tmp_path / "few.avi"
    path.write_bytes(content)
    scan = scan_file(path)
    assert (scan.kind, scan.detail) == ("wrong header", "its header claims 4 frames, 24 decode")


def test_corrupt_in_the_middle(tmp_path):
    path = write_noise(tmp_path / "hole.mp4", codec="libx264", frames=60, options=FAST)
    scan = scan_file(damage(path, 0.5, len(path.read_bytes()) // 8))
    assert scan.kind == "corrupt"
    assert scan.detail.startswith("decoding stops at frame ")
    assert scan.detail.endswith("of 60 frames decode")
    assert 30 < scan.frames < 60


def test_damaged_but_decoded(tmp_path):
    path = write_noise(tmp_path / "scratch.avi")
    scan = scan_file(damage(path, 0.62, 8, 0x55))
    assert (scan.kind, scan.frames) == ("damaged", 20)
    assert f"{scan.damaged} of 20 frames decode with errors (" in scan.detail


def test_complaints_about_one_file_are_not_those_about_the_next(tmp_path):
    """FFmpeg holds repeated messages back and says how many there were with the next one."""
    broken = write_noise(tmp_path / "broken.avi", frames=60)
    broken = damage(broken, 0.4, 3000)
    good = write_noise(tmp_path / "good.avi")
    assert scan_file(broken).kind == "corrupt"
    assert scan_file(good).kind == ""
    assert "repeated" not in scan_file(broken).detail


def test_no_video_at_all(tmp_path):
    picture = tmp_path / "picture.avi"
    with av.open(str(picture), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    zeros = tmp_path / "zeros.mp4"
    zeros.write_bytes(bytes(5000))
    page = tmp_path / "page.mp4"
    page.write_text("<!DOCTYPE html>\n<html>Not Found</html>\n")
    unknown = tmp_path / "unknown.mp4"
    unknown.write_bytes(bytes([200, 1, 2, 250] * 500))
    found = {path.stem: scan_file(path) for path in (picture, zeros, page, unknown)}
    assert {scan.kind for scan in found.values()} == {"not a video"}
    assert found["picture"].detail == "a picture (png)"
    assert found["zeros"].detail == "nothing but zero bytes"
    assert found["page"].detail == "text: '<!DOCTYPE html> <html>Not Found</html>'"
    assert found["unknown"].detail.endswith("it starts with the bytes c8 01 02 fa c8 01 02 fa")


def test_sound_alone(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    scan = scan_file(path)
    assert (scan.kind, scan.detail) == ("not a video", "no video stream in it (audio only?)")


def test_a_playlist_does_not_make_it_read_other_files(tmp_path):
    write_noise(tmp_path / "other.avi")
    path = tmp_path / "list.avi"
    path.write_text("ffconcat version 1.0\nfile other.avi\n")
    scan = scan_file(path)
    assert (scan.kind, scan.detail) == ("not a video", "a list of other files (concat)")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.avi")
    (tmp_path / "folder.avi").mkdir()
    (tmp_path / "link.avi").symlink_to("nowhere.avi")
    found = {name: scan_file(tmp_path / f"{name}.avi") for name in ("pipe", "folder", "link")}
    assert (found["pipe"].kind, found["pipe"].detail) == ("not a video", "a named pipe")
    assert (found["folder"].kind, found["folder"].detail) == ("not a video", "a folder")
    assert (found["link"].kind, found["link"].detail) == ("corrupt", "a link to nothing")


def test_names_that_ffmpeg_would_take_for_something_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = write_noise(tmp_path / "good.avi")
    for name in ("concat:good.avi", "-i.avi", "%03d.avi", "a|b.avi"):
        shutil.copy(good, name)
        assert scan_file(name).frames == 20


def test_progress_is_told(odd):
    calls = []
    scan_file(odd["good"], lambda: calls.append(1))
    assert len(calls) >= 24
