"""What datasets/shard.py writes, and what it does not."""

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
from collections import namedtuple
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import webdataset

from tests.data.conftest import write_counting, write_folder, write_lists
from videowino import cli
from videowino.data import VideoFolder
from videowino.data.streaming.index import ShardIndex
from videowino.files import sha256_of
from videowino.preparing.shards import check_shards, write_shards

REPOSITORY = Path(__file__).parents[2]
ODD = [
    "with spaces.avi",
    "\"quotes' .avi",
    "emoji 🎬.avi",
    "new\nline.avi",
    "v.1.avi",
    "v.2.avi",  # to WebDataset, the same key as the one before
    "v.1.AVI",
    "__hidden__.avi",
    "a" * 150 + ".avi",
]


@pytest.fixture
def clips(tmp_path):
    return write_lists(write_folder(tmp_path / "clips", groups=5))


def write(root, out, **options):
    return write_shards(VideoFolder(root=str(root)), out, **{"shard_mb": 0.02, **options})


def index_of(out):
    return ShardIndex.loads((out / "index.json").read_text(), str(out))


def contents(out):
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def streamed(out, part):
    """What a plain WebDataset pipeline reads."""
    shards = sorted(str(path) for path in out.glob(f"{part}-*.tar"))
    return list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False))


def test_webdataset_reads_every_clip_as_it_was(clips, tmp_path):
    out = tmp_path / "shards"
    assert write(clips, out) is True
    data = VideoFolder(root=str(clips))
    for part in ("train", "test"):
        found = streamed(out, part)
        about = [json.loads(sample["json"]) for sample in found]
        assert sorted(a["name"] for a in about) == sorted(
            f"{data.class_names[v.label]}/{v.path.name}" for v in data.videos(part)
        )
        for sample, a in zip(found, about):
            assert sample["avi"] == (clips / "videos" / a["name"]).read_bytes()
            assert a["class"] == data.class_names[a["label"]] == a["name"].partition("/")[0]
            assert a["group"] in a["name"]
    names = [json.loads(s["json"])["name"] for s in streamed(out, "test")]
    assert names == ["Jump/v_Jump_g01_c01.avi", "Run/v_Run_g01_c01.avi"]  # as listed


def test_odd_names_have_safe_keys_of_their_own(tmp_path):
    root = tmp_path / "clips"
    for number, name in enumerate(ODD):
        for label in ("Jump", "Run"):
            write_counting(root / label / name, frames=2 + number)
    out = tmp_path / "shards"
    write(root, out)
    samples = streamed(out, "train") + streamed(out, "test")
    assert len(samples) == 2 * len(ODD)
    listed = {json.loads(s["json"])["name"]: s for s in samples}
    assert sorted(listed) == sorted(f"{label}/{n}" for label in ("Jump", "Run") for n in ODD)
    for name, sample in listed.items():
        assert sample["avi"] == (root / name).read_bytes()
    for part in ("train", "test"):
        keys = [sample["__key__"] for sample in streamed(out, part)]
        assert len(set(keys)) == len(keys)
        assert all(key.isascii() and key.replace("_", "").isalnum() for key in keys), keys
        assert max(map(len, keys)) < 70


def test_a_file_without_a_suffix_and_one_called_json(tmp_path):
    root = write_lists(write_folder(tmp_path / "clips", groups=2))
    folder = root / "videos" / "Run"
    shutil.copy(folder / "v_Run_g02_c01.avi", folder / "bare")
    shutil.copy(folder / "v_Run_g02_c01.avi", folder / "clip.json")
    path = root / "splits" / "trainlist01.txt"
    path.write_text(path.read_text() + "Run/bare 2\nRun/clip.json 2\n")
    write(root, tmp_path / "shards")
    samples = {json.loads(s["json"])["name"]: s for s in streamed(tmp_path / "shards", "train")}
    for name in ("Run/bare", "Run/clip.json"):
        assert samples[name]["video"] == (folder / "v_Run_g02_c01.avi").read_bytes()


def test_the_index_says_where_every_clip_is(clips, tmp_path):
    out = tmp_path / "shards"
    write(clips, out)
    index = index_of(out)
    figures = json.loads((out / "index.json").read_text())
    assert figures["class_names"] == index.class_names == ["Jump", "Run"]
    assert figures["version"] == 1
    assert figures["source"] == {
        "dataset": "VideoFolder",
        "folder": "clips",
        "split": 1,
        "shard_mb": 0.02,
        "shuffle_seed": 0,
    }
    assert [figures["parts"][part]["clips"] for part in ("train", "test")] == [8, 2]
    data = VideoFolder(root=str(clips))
    for part in ("train", "test"):
        videos = data.videos(part)
        assert sorted(clip.number for clip in index.clips[part]) == list(range(len(videos)))
        for clip in index.clips[part]:
            content = (out / clip.shard).read_bytes()[clip.start : clip.start + clip.size]
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                names = tar.getnames()
                video = tar.extractfile(names[0]).read()
            assert names == [f"{clip.key}.avi", f"{clip.key}.json"]
            listed = videos[clip.number]
            assert video == listed.path.read_bytes()
            assert (clip.label, clip.group) == (listed.label, listed.group)
        for shard in index.shards[part]:
            path = out / shard.name
            assert (path.stat().st_size, sha256_of(path)) == (shard.bytes, shard.sha256)
            assert shard.clips == sum(clip.shard == shard.name for clip in index.clips[part])


def test_shards_are_no_larger_than_asked_for(clips, tmp_path):
    write(clips, tmp_path / "shards", shard_mb=0.03)
    shards = index_of(tmp_path / "shards").shards["train"]
    assert len(shards) > 2
    assert all(shard.bytes <= 30_000 + 1024 for shard in shards)
    write(clips, tmp_path / "tiny", shard_mb=0.001)  # a clip is larger
    assert [s.clips for s in index_of(tmp_path / "tiny").shards["train"]] == [1] * 8


def test_training_clips_are_shuffled_by_the_seed(clips, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(clips, tmp_path / name, shuffle_seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")  # byte for byte
    order = {n: [c.number for c in index_of(tmp_path / n).clips["train"]] for n in "ac"}
    assert order["a"] != order["c"] and order["a"] != sorted(order["a"])
    assert [c.number for c in index_of(tmp_path / "c").clips["test"]] == [0, 1]


def test_an_interrupted_run_leaves_nothing(clips, tmp_path):
    out = tmp_path / "shards"

    def broken(videos):
        yield videos[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(clips, out, progress=broken)
    assert [p.name for p in tmp_path.iterdir()] == ["clips"]
    write(clips, out)
    assert check_shards(out) == []


KILLED = """
import os, signal, sys
sys.path.insert(0, {repository!r})
from videowino import cli
from videowino.data import VideoFolder
from videowino.preparing.shards import write_shards
def progress(videos):
    for number, video in enumerate(videos):
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        yield video
write_shards(VideoFolder(root={root!r}), {out!r}, shard_mb=0.02, progress=progress)
"""


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_that_reads_as_whole(clips, tmp_path):
    out = tmp_path / "shards"
    code = KILLED.format(repository=str(REPOSITORY), root=str(clips), out=str(out))
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert not out.exists()
    assert not list(tmp_path.rglob("index.json"))
    write(clips, out)
    assert check_shards(out) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips", "shards"]


def test_the_same_set_is_not_written_again_and_another_not_over_it(clips, tmp_path):
    out = tmp_path / "shards"
    out.mkdir()  # an empty folder is as good as none
    assert write(clips, out) is True
    before = contents(out)
    assert write(clips, out) is False
    for options in ({"shard_mb": 1}, {"shuffle_seed": 1}):
        with pytest.raises(ValueError, match="holds other shards .dataset VideoFolder, folder cl"):
            write(clips, out, **options)
    write_counting(clips / "videos" / "Run" / "v_Run_g09_c01.avi", frames=6)
    path = clips / "splits" / "trainlist01.txt"
    path.write_text(path.read_text() + "Run/v_Run_g09_c01.avi 2\n")
    with pytest.raises(ValueError, match="holds shards of other clips; name another folder"):
        write(clips, out)
    assert contents(out) == before
    with pytest.raises(ValueError, match="holds something else than shards; name another folder"):
        write(clips, clips)


def test_a_full_disk_is_noticed_before(clips, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(ValueError, match="out: the shards take 0.07 GB, .* has 0.00 GB free"):
        write(clips, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


def test_two_processes_do_not_write_the_same_set(clips, tmp_path):
    out = tmp_path / "shards"

    def second(videos):
        with pytest.raises(ValueError, match="another process is writing shards there"):
            write(clips, out)
        yield from videos

    assert write(clips, out, progress=second) is True


def test_clips_that_are_not_on_disk_are_left_out(clips, tmp_path):
    (clips / "videos" / "Run" / "v_Run_g02_c01.avi").unlink()
    with pytest.warns(UserWarning, match="1 of 10 listed clips are not on disk"):
        write(clips, tmp_path / "shards")
    assert len(index_of(tmp_path / "shards").clips["train"]) == 7


def test_damage_is_found(clips, tmp_path):
    out = tmp_path / "shards"
    write(clips, out)
    names = [shard.name for shard in index_of(out).shards["train"]]
    cut, altered, absent = (out / name for name in names[:3])
    cut.write_bytes(cut.read_bytes()[:-1])
    content = bytearray(altered.read_bytes())
    content[1000] ^= 1
    altered.write_bytes(content)
    absent.unlink()
    assert check_shards(out) == [
        f"{cut.name}: {cut.stat().st_size} bytes, the index has {cut.stat().st_size + 1}",
        f"{altered.name}: altered (its SHA-256 is not the index's)",
        f"{absent.name}: absent",
    ]
    with pytest.raises(FileNotFoundError, match="no index.json in it"):
        check_shards(clips)


@pytest.fixture
def script():
    """The main function of datasets/shard.py."""
    spec = spec_from_file_location("shard", REPOSITORY / "datasets" / "shard.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *args: module.main([str(a) for a in args])


def test_the_script(script, clips, tmp_path, capsys):
    out = tmp_path / "shards"
    args = ("--dataset", "folder", "--root", clips, "--split", 1, "--out", out)
    script(*args, "--shard-mb", "0.02")
    assert f"{out}: written" in capsys.readouterr().out
    script(*args, "--shard-mb", "0.02")
    assert f"{out}: already there" in capsys.readouterr().out
    script("--check", out)
    assert f"{out}: as it was written" in capsys.readouterr().out
    (out / "train-000001.tar").write_bytes(b"")
    with pytest.raises(ValueError, match="shards: train-000001.tar: 0 bytes, the index has 1"):
        script("--check", out)


def test_what_the_script_says_to_bad_input(script, clips, tmp_path, capsys):
    def fails(*args):
        with pytest.raises(SystemExit) as ended:
            cli.run(lambda: script(*args))
        assert ended.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    whole = ("--dataset", "folder", "--root", clips, "--out", tmp_path / "shards")
    assert "--dataset is missing" in fails("--root", clips)
    assert "unknown option 'splt'; did you mean 'split'?" in fails(*whole, "--splt", "1")
    assert "no such folder" in fails(*whole[:3], tmp_path / "no", *whole[4:])
    assert "data.split=2: no trainlist02.txt" in fails(*whole, "--split", 2)
    assert "shard_mb=0.0: above 0" in fails(*whole, "--shard-mb", 0)
    assert "ucf" in fails("--dataset", "ucf", *whole[2:])
    (clips / "videos" / "Run" / "v_Run_g02_c01.avi").unlink()
    assert "1 of 10 listed clips are not on disk" in fails(*whole, "--missing", "error")
