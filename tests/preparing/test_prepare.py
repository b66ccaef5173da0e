import io
import zipfile
from pathlib import Path

import pytest

from tests.preparing.conftest import (
    content,
    hmdb_names,
    ucf_lists,
    ucf_names,
    write_hmdb,
    write_ucf,
)
from tests.preparing.rar import stored, write_rar
from videowino.data import HMDB51, UCF101
from videowino.preparing import archives as archives_module
from videowino.preparing.prepare import prepare

WRITE = {"ucf101": write_ucf, "hmdb51": write_hmdb}
NAMES = {"ucf101": ucf_names(), "hmdb51": hmdb_names()}
READ = {"ucf101": UCF101, "hmdb51": HMDB51}


def run(small, name, root, progress, **options):
    return prepare(small[name], root, progress, may_download=False, **options)


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_from_archives_to_what_the_data_module_reads(tmp_path, small, progress, name):
    root = WRITE[name](tmp_path / "root")
    index, done = run(small, name, root, progress)
    assert index.whole and index.splits == list(small[name].splits)
    assert done[-1] == f"{len(NAMES[name])} clips unpacked, 0 were there"
    for clip in NAMES[name]:
        assert (root / "videos" / clip).read_bytes() == content(clip)
    for split in (1, 2, 3):
        data = READ[name](root=str(root), split=split, missing="error")
        assert (len(data.videos("train")), len(data.videos("test"))) == small[name].splits[0]
    left = [p.name for p in root.rglob("*") if p.name.startswith(".")]
    assert left == [".prepare.json"]
    index, done = run(small, name, root, progress)
    assert index.whole and done == []


def test_archives_elsewhere_and_clips_where_they_were_unpacked_by_hand(tmp_path, small, progress):
    """An interrupted `unrar x` in the root: a clip in part, others absent."""
    archives = write_ucf(tmp_path / "archives")
    half, whole = (tmp_path / "root" / "UCF-101" / name for name in ucf_names()[:2])
    half.parent.mkdir(parents=True)
    half.write_bytes(content(ucf_names()[0])[:50])
    whole.write_bytes(b"x" * len(content(ucf_names()[1])))
    index, done = run(small, "ucf101", tmp_path / "root", progress, archives=archives)
    assert index.whole and done[-1] == "6 clips unpacked, 2 were there"
    assert half.read_bytes() == content(ucf_names()[0])
    assert whole.read_bytes()[:1] == b"x"  # of the right size: left alone
    assert not (tmp_path / "root" / "videos").exists()


class Stop(BaseException):
    """As Ctrl-C is."""


@pytest.mark.parametrize(("name", "after"), [("ucf101", 3), ("hmdb51", 1), ("hmdb51", 6)])
def test_goes_on_after_an_interruption(tmp_path, small, progress, monkeypatch, name, after):
    root = WRITE[name](tmp_path / "root")
    written = []
    write = archives_module.write_whole

    def interrupted(source, place, size, advance):
        if place.suffix == ".avi":
            if len(written) == after:
                with place.with_name(f".{place.name}.part").open("wb") as part:
                    part.write(source.read(10))
                raise Stop
            written.append(place)
        write(source, place, size, advance)

    monkeypatch.setattr(archives_module, "write_whole", interrupted)
    if after < len(NAMES[name]):
        with pytest.raises(Stop):
            run(small, name, root, progress)
        there = [p for p in (root / "videos").rglob("*.avi") if not p.name.startswith(".")]
        assert sorted(there) == sorted(written)
        assert all(p.read_bytes() == content(f"{p.parent.name}/{p.name}") for p in there)
    times = {p: p.stat().st_mtime_ns for p in written}
    monkeypatch.setattr(archives_module, "write_whole", write)
    index, _ = run(small, name, root, progress)
    assert index.whole and not list(root.rglob("*.part"))
    assert {p: p.stat().st_mtime_ns for p in times} == times  # not written again


def test_absent_clips_of_a_finished_root_come_back_and_others_stay(tmp_path, small, progress):
    root = write_ucf(tmp_path / "root")
    run(small, "ucf101", root, progress)
    gone, smaller = (root / "videos" / name for name in ucf_names()[:2])
    gone.unlink()
    smaller.write_bytes(b"re-encoded since")
    index, done = run(small, "ucf101", root, progress)
    assert index.whole and done[-1] == "1 clips unpacked, 7 were there"
    assert smaller.read_bytes() == b"re-encoded since"


def test_a_root_unpacked_by_hand_needs_no_archive(tmp_path, small, progress):
    write_ucf(tmp_path / "root")
    run(small, "ucf101", tmp_path / "root", progress)
    for name in ("UCF101.rar", "UCF101TrainTestSplits-RecognitionTask.zip", ".prepare.json"):
        (tmp_path / "root" / name).unlink()
    index, done = run(small, "ucf101", tmp_path / "root", progress)
    assert index.whole
    assert done == ["all clips are there; without UCF101.rar their sizes cannot be compared"]


def test_names_in_another_case_and_files_in_no_list(tmp_path, small, progress):
    clips = {name.replace("Jump", "JUMP"): content(name) for name in ucf_names()}
    root = write_ucf(tmp_path / "root", {**clips, "Run/Thumbs.db": b"1"})
    with pytest.warns(UserWarning, match="UCF101.rar: 1 files are in no list, .*: UCF-101/Run/Thu"):
        index, _ = run(small, "ucf101", root, progress)
    assert index.whole
    assert (root / "videos" / ucf_names()[0]).read_bytes() == content(ucf_names()[0])


def test_an_archive_that_lacks_clips(tmp_path, small, progress):
    clips = {name: content(name) for name in ucf_names()}
    root = write_ucf(tmp_path / "root", {**clips, ucf_names()[2]: b""})
    index, _ = run(small, "ucf101", root, progress)
    assert [str(clip) for clip in index.missing] == [ucf_names()[2]]
    assert not index.whole
    assert index.splits == [(5, 2), (5, 2), (6, 1)]


def test_a_damaged_archive_in_an_archive_is_named(tmp_path, small, progress):
    files = {name: content(name) for name in hmdb_names() if name.startswith("golf")}
    root = write_hmdb(tmp_path / "root", golf=stored(files)[:-900])
    with pytest.raises(
        ValueError, match=r"golf.rar: truncated, download it again; missing: \d+ by"
    ):
        run(small, "hmdb51", root, progress)
    assert len(list((root / "videos" / "draw_sword").glob("*.avi"))) == 3
    write_hmdb(root)
    index, done = run(small, "hmdb51", root, progress)
    assert index.whole and done[-1] == "3 clips unpacked, 3 were there"


def test_an_archive_in_an_archive_that_leaves_the_folder(tmp_path, small, progress):
    root = write_hmdb(tmp_path / "root", golf=stored({"../../golf/x.avi": b"1"}))
    with pytest.raises(
        ValueError, match="golf.rar: the member '../../golf/x.avi' would be written"
    ):
        run(small, "hmdb51", root, progress)
    assert not list(tmp_path.rglob("x.avi"))


# Misuse.


def test_no_archive_and_no_network(tmp_path, small, progress):
    with pytest.raises(
        FileNotFoundError,
        match="UCF101TrainTestSplits-RecognitionTask.zip is not in .*root .downloading is off.; "
        "get it, with UCF101.rar unless it is unpacked, from https://www.crcv.ucf.edu/data/"
        "UCF101.php and put it into .*root",
    ):
        run(small, "ucf101", tmp_path / "root", progress)
    archives = write_ucf(tmp_path / "archives")
    (archives / "UCF101.rar").unlink()
    with pytest.raises(FileNotFoundError, match="UCF101.rar is not in .*archives nor in .*root "):
        run(small, "ucf101", tmp_path / "root", progress, archives=archives)
    with pytest.raises(FileNotFoundError, match="archives='.*nowhere': no such folder"):
        run(small, "ucf101", tmp_path / "root", progress, archives=tmp_path / "nowhere")


def test_another_set_in_the_root(tmp_path, small, progress):
    root = write_ucf(tmp_path / "root")
    run(small, "ucf101", root, progress)
    with pytest.raises(ValueError, match="ucf101 was prepared in it; name another folder for hmdb"):
        run(small, "hmdb51", root, progress)


def test_the_wrong_archive_for_lists(tmp_path, small, progress):
    root = write_ucf(tmp_path / "root")
    with zipfile.ZipFile(root / "UCF101TrainTestSplits-RecognitionTask.zip", "w") as opened:
        opened.writestr("ucfTrainTestlist/classInd.txt", ucf_lists()["classInd.txt"])
    with pytest.raises(ValueError, match="1 lists in it, UCF101 has 7; is it the right archive"):
        run(small, "ucf101", root, progress)


def test_no_room(tmp_path, small, progress, monkeypatch):
    from videowino.preparing import space

    class Usage:
        free = 10_000_000

    root = write_hmdb(tmp_path / "root")
    monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(
        ValueError, match=r"unpacking hmdb51_org.rar needs 67.\d MB, the disk has 10.0 MB left"
    ):
        run(small, "hmdb51", root, progress)
    assert not (root / "videos").exists()


def test_checksums(tmp_path, small, progress, monkeypatch):
    import hashlib
    from dataclasses import replace

    from videowino.preparing.official import Digest

    root = write_ucf(tmp_path / "root")
    path = root / "UCF101TrainTestSplits-RecognitionTask.zip"
    right = hashlib.sha256(path.read_bytes()).hexdigest()

    def knowing(value):
        source = replace(small["ucf101"].lists, digest=Digest("sha256", value, "someone"))
        return {"ucf101": replace(small["ucf101"], lists=source)}

    with pytest.raises(
        ValueError, match=f"its sha256 is {right}, but someone publishes 0123: trun"
    ):
        run(knowing("0123"), "ucf101", root, progress)
    assert not (root / "ucfTrainTestlist").exists()
    with pytest.warns(UserWarning, match="but someone publishes 0123"):
        _, done = run(knowing("0123"), "ucf101", root, progress, checksums="warn")
    assert done[0].endswith("sha256 differs from the published one")
    for list_ in (root / "ucfTrainTestlist").iterdir():
        list_.unlink()
    _, done = run(knowing(right), "ucf101", root, progress)
    assert done[0] == f"{path.name}: sha256 as published by someone"


def test_a_size_that_differs_is_said(tmp_path, small, progress):
    from dataclasses import replace

    root = write_ucf(tmp_path / "root")
    known = replace(small["ucf101"], clips=replace(small["ucf101"].clips, size=5))
    with pytest.warns(
        UserWarning, match="UCF101.rar has .* bytes, the official one 5; no checksum"
    ):
        index, _ = run({"ucf101": known}, "ucf101", root, progress)
    assert index.whole


@pytest.mark.data
def test_real_clips_and_lists_through_archives(tmp_path, shared_data, progress):
    """The official lists, and real clips in archives as the official ones are made."""
    from dataclasses import replace

    from videowino.preparing.official import BENCHMARKS

    for name in ("ucf101", "hmdb51"):
        official = BENCHMARKS[name]
        real = shared_data / name
        clips = {
            p.relative_to(real / "videos").as_posix(): p.read_bytes()
            for p in sorted((real / "videos").rglob("*.avi"))
        }
        lists = {
            f"{official.lists_folder}/{p.name}": p.read_bytes()
            for p in sorted((real / official.lists_folder).iterdir())
        }
        archives = tmp_path / name
        if name == "ucf101":
            write_rar(archives / "UCF101.rar", {f"UCF-101/{n}": d for n, d in clips.items()})
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as opened:
                for path, data in lists.items():
                    opened.writestr(path, data)
            (archives / official.lists.file).write_bytes(buffer.getvalue())
        else:
            inner = {f"{n.split('/')[0]}.rar": stored({n: d}) for n, d in clips.items()}
            write_rar(archives / "hmdb51_org.rar", inner)
            write_rar(archives / official.lists.file, lists)
        blank = {
            part: replace(getattr(official, part), size=None, digest=None)
            for part in ("clips", "lists")
        }
        root = tmp_path / f"{name}-root"
        index, _ = prepare(
            replace(official, **blank), root, progress, archives=archives, may_download=False
        )
        assert len(index.listed) == official.num_clips
        assert len(index.missing) == official.num_clips - len(clips)
        for clip, data in clips.items():
            assert (root / "videos" / clip).read_bytes() == data
        assert Path(root, official.lists_folder).is_dir()
