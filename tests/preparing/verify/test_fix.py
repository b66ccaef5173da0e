import os
import shutil

import av
import numpy as np
import pytest

from tests.data.odd_videos import rotate, with_frame_count
from tests.preparing.verify.conftest import write_noise
from tests.preparing.verify.test_scan import FAST, cut
from videowino.preparing.verify import mend as mending
from videowino.preparing.verify.fix import Fix, fix_files, fixable
from videowino.preparing.verify.mend import mend
from videowino.preparing.verify.scan import Scan, scan_file


def frames_of(path):
    """Those that decode without errors: T H W."""
    found = []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            found += [f.to_ndarray(format="gray") for f in frames if not f.is_corrupt]
    return np.stack(found)


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv", ".mov", ".flv"])
def test_of_a_truncated_file_what_decodes_is_kept(tmp_path, suffix):
    codec = "libx264" if suffix == ".flv" else "mpeg4"
    options = FAST if suffix in (".mp4", ".mov") else {}
    broken = cut(write_noise(tmp_path / f"broken{suffix}", 0, 90, codec, options), 0.6)
    assert scan_file(broken).kind == "truncated"
    said = mend(broken, tmp_path / f"mended{suffix}")
    scan = scan_file(tmp_path / f"mended{suffix}")
    assert said == f"{scan.frames} frames, frames copied"
    assert scan.kind == "" and scan.frames > 40
    expected = frames_of(broken)
    assert len(expected) - 1 <= scan.frames <= len(expected) + 1
    mended = frames_of(tmp_path / f"mended{suffix}")
    assert np.array_equal(mended, expected[: len(mended)])


def test_a_wrong_header_is_written_anew(odd, tmp_path):
    mend(odd["ten_times"], tmp_path / "mended.avi")
    scan = scan_file(tmp_path / "mended.avi")
    assert (scan.kind, scan.frames, scan.claimed) == ("", 24, 24)
    assert scan.frames_hash == scan_file(odd["good"]).frames_hash


def test_where_copying_does_not_do_frames_are_encoded(odd, tmp_path, monkeypatch):
    def no_copy(source, target, alive):
        raise ValueError("no")

    monkeypatch.setattr(mending, "_copy", no_copy)
    assert mend(odd["ten_times"], tmp_path / "mended.avi") == "24 frames, frames encoded again"
    old, new = (frames_of(path).astype(int) for path in (odd["good"], tmp_path / "mended.avi"))
    assert np.abs(old - new).mean() < 1


def test_a_result_that_looks_different_is_refused(odd, tmp_path, monkeypatch):
    def no_copy(source, target, alive):
        raise ValueError("no")

    monkeypatch.setattr(mending, "_copy", no_copy)
    monkeypatch.setattr(mending, "_NEAR", 0.0001)
    with pytest.raises(ValueError, match="copied: no; frames encoded again: frame .* different"):
        mend(write_noise(tmp_path / "noise.avi"), tmp_path / "mended.avi")
    assert not (tmp_path / "mended.avi").exists()


def test_a_turned_video_stays_turned(tmp_path):
    broken = cut(rotate(write_noise(tmp_path / "turned.mp4", 0, 90, options=FAST)), 0.6)
    mend(broken, tmp_path / "mended.mp4")
    assert dict(scan_file(tmp_path / "mended.mp4").notes)["rotated"] == "270 degrees"


def test_what_cannot_be_mended():
    said = "corrupt: cannot be mended; get the file anew, or leave it out"
    assert fixable(Scan("corrupt", frames=20)) == said
    assert fixable(Scan("truncated", frames=0)) == "no frame of it decodes"
    assert fixable(Scan("truncated", frames=3)) == fixable(Scan("wrong header", frames=3)) == ""


@pytest.fixture
def broken(tmp_path, odd):
    """A folder with a truncated file, one with a wrong header, a corrupt one and a link."""
    clips = tmp_path / "set" / "videos" / "Run"
    clips.mkdir(parents=True)
    shutil.copy(odd["ten_times"], clips / "ten times.avi")
    cut(write_noise(clips / "cut.avi", frames=60), 0.6)
    shutil.copy(odd["text"], clips / "text.avi")
    (clips / "link.avi").symlink_to("cut.avi")
    os.chmod(clips / "cut.avi", 0o640)
    return tmp_path / "set"


def scans(root):
    return [
        (path.relative_to(root).as_posix(), scan_file(path))
        for path in sorted((root / "videos").rglob("*.avi"))
    ]


def test_mended_files_take_the_place_of_originals_which_stay(broken):
    clips = broken / "videos" / "Run"
    before = {path.name: path.read_bytes() for path in clips.iterdir()}
    fixes = {fix.path: fix for fix in fix_files(broken, scans(broken), 2, 60)}
    assert set(fixes) == {f"videos/Run/{name}" for name in before}
    for name in ("cut.avi", "ten times.avi"):
        fix = fixes[f"videos/Run/{name}"]
        assert fix.kept == f".originals/videos/Run/{name}"
        assert (broken / fix.kept).read_bytes() == before[name]
        assert scan_file(clips / name).kind == ""
    assert (clips / "cut.avi").stat().st_mode & 0o777 == 0o640
    assert fixes["videos/Run/text.avi"].kept == fixes["videos/Run/link.avi"].kept == ""
    assert fixes["videos/Run/link.avi"].detail.startswith("a link to ")
    assert (clips / "text.avi").read_bytes() == before["text.avi"]
    assert (clips / "link.avi").is_symlink()
    left = sorted(
        p.relative_to(broken / ".originals").as_posix()
        for p in broken.rglob("*/*.avi")
        if ".originals" in p.parts
    )
    assert left == ["videos/Run/cut.avi", "videos/Run/ten times.avi"]


def test_an_original_of_before_is_kept_as_well(broken, odd):
    clips = broken / "videos" / "Run"
    list(fix_files(broken, scans(broken), 1, 60))
    first = (broken / ".originals/videos/Run/ten times.avi").read_bytes()
    content = with_frame_count(odd["good"].read_bytes(), 999)
    (clips / "ten times.avi").write_bytes(content)
    (fix,) = [f for f in fix_files(broken, scans(broken), 1, 60) if f.kept]
    assert fix.kept == ".originals/videos/Run/ten times.avi.1"
    assert (broken / fix.kept).read_bytes() == content
    assert (broken / ".originals/videos/Run/ten times.avi").read_bytes() == first


def test_nothing_to_mend_leaves_nothing_behind(broken):
    scan = Scan("corrupt", "cannot be mended")
    assert list(fix_files(broken, [("videos/Run/text.avi", scan)], 1, 60)) == [
        Fix("videos/Run/text.avi", "", fixable(scan))
    ]
    hopeless = [("videos/Run/text.avi", Scan("truncated", "as told", frames=4))]
    (fix,) = fix_files(broken, hopeless, 1, 60)
    assert fix.kept == "" and "frames copied: " in fix.detail
    assert not (broken / ".originals").exists()
