"""Clips from shards: the same as from files, each once, and what is said of damage."""

import json
import os
import pickle
import re
import shutil
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from tests.data.conftest import write_counting, write_folder, write_lists
from tests.data.shards import make_shards
from tests.data.test_lightning import Recorder
from videowino.data import VideoFolder, VideoShards
from videowino.data.decoding import DecoderError, open_video
from videowino.data.splits import carve
from videowino.data.streaming import dataset as dataset_module
from videowino.data.streaming.index import ShardError, ShardIndex
from videowino.data.streaming.memory_file import MemoryFile, MemoryVideo
from videowino.preparing.shards import write_shards

SMALL = {"frames": 3, "size": (16, 24), "resize": None, "batch_size": 4, "num_workers": 0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Ten training clips in four shards, two test clips in one."""
    shards = make_shards(tmp_path_factory.mktemp("made"))
    index = ShardIndex.loads((shards / "index.json").read_text(), "")
    assert [shard.clips for shard in index.shards["train"]] == [3, 3, 3, 1]
    return shards


@pytest.fixture
def broken(made, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(made, tmp_path / "shards")


def shards_and_files(made, **options):
    options = {**SMALL, **options}
    files = VideoFolder(root=str(made.parent / "clips"), **options)
    return VideoShards(root=str(made), **options), files


def videos_of(loader):
    return [int(video) for batch in loader for video in batch["video"]]


def test_clips_are_those_of_the_files(made):
    shards, files = shards_and_files(made, color_jitter=0.4, random_erasing=0.5, clips=3)
    assert shards.class_names == files.class_names
    for stage in ("train", "test"):
        a, b = shards.videos(stage), files.videos(stage)
        assert [(v.label, v.group, v.path.name) for v in a] == [
            (v.label, v.group, v.path.name) for v in b
        ]
    a, b = (data.train_dataloader().dataset for data in (shards, files))
    for index in reversed(range(len(a))):
        for seed in (1, 2):
            got, want = a[index, seed], b[index, seed]
            assert torch.equal(got["clip"], want["clip"])
            assert (got["label"], got["video"]) == (want["label"], want["video"])
    for got, want in zip(shards.test_dataloader(), files.test_dataloader(), strict=True):
        assert all(torch.equal(got[key], want[key]) for key in ("clip", "label", "video"))


def test_parts_of_the_training_list_are_the_same_as_of_the_files(made):
    shards, files = shards_and_files(made, val_fraction=0.3, limit_per_class=4)
    for stage in ("train", "val", "test"):
        assert [v.path.name for v in shards.videos(stage)] == [
            v.path.name for v in files.videos(stage)
        ]
    _, val = carve(files.videos("train") + files.videos("val"), 0.3, 0)
    assert len(shards.videos("val")) == len(val) > 0
    assert sorted(videos_of(shards.train_dataloader())) == list(range(len(shards.videos("train"))))
    assert sorted(videos_of(shards.val_dataloader())) == list(range(len(val)))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_an_epoch_is_the_same_for_any_number_of_workers(made):
    options = {**SMALL, "batch_size": 2, "shuffle_buffer": 3, "color_jitter": 0.3}

    def epochs(workers):
        loader = VideoShards(root=str(made), **{**options, "num_workers": workers})
        loader = loader.train_dataloader()
        found = []
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)
            found.append(list(loader))
        return found

    want = epochs(0)
    for batches in want:
        assert sorted(int(v) for batch in batches for v in batch["video"]) == list(range(10))
    for workers in (2, 6):  # more than there are shards, and than there are batches
        for batches, right in zip(epochs(workers), want, strict=True):
            for got, batch in zip(batches, right, strict=True):
                assert torch.equal(got["clip"], batch["clip"])
                assert torch.equal(got["video"], batch["video"])
    assert videos_of(want[0]) != videos_of(want[1])


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("ranks", [1, 2])
def test_shards_are_read_forwards_and_nothing_twice(made, workers, ranks, monkeypatch):
    buffer, all_read = 4, []
    for rank in range(ranks):
        for worker in range(workers):
            data = VideoShards(root=str(made), **{**SMALL, "batch_size": 2}, shuffle_buffer=buffer)
            data.trainer = SimpleNamespace(global_rank=rank, world_size=ranks, overfit_batches=0)
            loader = data.train_dataloader()
            info = SimpleNamespace(num_workers=workers)
            monkeypatch.setattr(dataset_module, "get_worker_info", lambda info=info: info)
            reader = loader.dataset._clip_reader
            read, most = [], 0
            original = type(reader)._read

            def noted(self, clip, ahead, read=read, original=original):
                read.append((clip.shard, clip.start))
                return original(self, clip, ahead)

            with monkeypatch.context() as patch:
                patch.setattr(type(reader), "_read", noted)
                for batch in list(loader.sampler)[worker::workers]:
                    loader.dataset[batch]
                    most = max(most, len(reader._held))
            assert most <= buffer
            names = list(dict.fromkeys(shard for shard, _ in read))
            assert read == sorted(read, key=lambda place: (names.index(place[0]), place[1]))
            all_read += read
    assert len(all_read) == len(set(all_read)) == 10


def test_a_batch_that_was_not_foreseen(made):
    data = VideoShards(root=str(made), **{**SMALL, "batch_size": 2}, shuffle_buffer=4)
    loader = data.train_dataloader()
    batches = list(loader.sampler)
    want = {batch.number: loader.dataset[batch]["clip"] for batch in batches}
    for number in (3, 1, 1, 4, 0, 2):
        assert torch.equal(loader.dataset[batches[number]]["clip"], want[number])
    alone = [data.train_dataloader().dataset[sample]["clip"] for sample in batches[2].samples]
    assert torch.equal(torch.stack(alone), want[2])


def test_decoded_videos_are_kept_and_not_read_again(made, monkeypatch):
    loader = VideoShards(root=str(made), **SMALL, cache_gb=1).train_dataloader()
    first = list(loader)
    monkeypatch.setattr(type(loader.dataset._clip_reader), "_read", None)
    for got, want in zip(loader, first, strict=True):
        assert torch.equal(got["clip"], want["clip"])


def test_hyper_parameters_build_the_same_module(made):
    data = VideoShards(root=made, **SMALL, shuffle_buffer=7)
    assert data.hparams["root"] == str(made)
    assert (data.hparams["shuffle_buffer"], data.hparams["split"]) == (7, None)
    assert dict(VideoShards(**data.hparams).hparams) == dict(data.hparams)
    data.setup("test")
    assert data.hparams["split"] == 1  # what a checkpoint and an evaluation are told


def test_a_file_url(made, tmp_path):
    copy = shutil.copytree(made, tmp_path / "with space")
    data = VideoShards(root=f"file://{tmp_path}/with%20space", **SMALL)
    assert sorted(videos_of(data.train_dataloader())) == list(range(10))
    assert data.videos("train") == VideoShards(root=str(copy), **SMALL).videos("train")


class SaveAt(pl.Callback):
    """Saves a checkpoint after so many steps."""

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def fit(data, path, checkpoint=None):
    module = Recorder()
    trainer = pl.Trainer(
        default_root_dir=path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        max_epochs=3,
        callbacks=[SaveAt(7, path / "last.ckpt")],
    )
    trainer.fit(module, data, ckpt_path=checkpoint)
    return module.seen


@pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable.*")
@pytest.mark.parametrize(("workers", "then"), [(0, 0), (1, 2)])
def test_a_training_that_stopped_within_an_epoch_goes_on_where_it_was(
    workers, then, made, tmp_path
):
    def data(workers):
        options = {**SMALL, "num_workers": workers, "color_jitter": 0.3, "shuffle_buffer": 3}
        return VideoShards(root=str(made), **{**options, "batch_size": 2})

    whole = fit(data(workers), tmp_path)
    assert len(whole) == 30
    rest = fit(data(then), tmp_path, tmp_path / "last.ckpt")
    assert rest == whole[14:]  # the eighth step on, of five an epoch


# Memory files.


def test_memory_files_are_paths_while_they_live(made):
    content = next((made.parent / "clips").rglob("*.avi")).read_bytes()
    file = MemoryFile(content)
    path = file.path
    assert path.read_bytes() == content and path.stat().st_size == len(content)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    video = MemoryVideo(content, "shard: key")
    assert video.num_frames == 6
    del file, video
    assert not path.exists() or path.read_bytes() != content
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) < before


def test_where_there_are_no_files_in_memory(made, monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    content = next((made.parent / "clips").rglob("*.avi")).read_bytes()
    file = MemoryFile(content)
    path = file.path
    assert path.read_bytes() == content and "videowino-" in path.name
    assert MemoryVideo(content, "x").get_frames([0, 5]).shape[0] == 2
    del file
    assert not path.exists()


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
def test_every_decoder_reads_from_memory(made, decoder):
    path = next((made.parent / "clips").rglob("*.avi"))
    want = open_video(path, decoder).get_frames(range(6))
    assert torch.equal(MemoryVideo(path.read_bytes(), "x", decoder).get_frames(range(6)), want)


@pytest.mark.data
@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_real_clips_from_memory(decoder, shared_data):
    paths = sorted(p for n in ("ucf101", "hmdb51") for p in (shared_data / n).rglob("*.avi"))
    paths += sorted((shared_data / "avletters").rglob("*.mp4"))[:3]
    compared = 0
    for path in paths:
        try:
            reader = open_video(path, decoder)
        except DecoderError as error:
            message = str(error).replace(str(path), "shard.tar: key")
            with pytest.raises(DecoderError, match=f"^{re.escape(message)}$"):
                MemoryVideo(path.read_bytes(), "shard.tar: key", decoder)
            continue
        indices = [0, 7, reader.num_frames // 2, reader.num_frames - 1]
        video = MemoryVideo(path.read_bytes(), "shard.tar: key", decoder)
        assert (video.num_frames, video.fps) == (reader.num_frames, reader.fps)
        assert torch.equal(video.get_frames(indices), reader.get_frames(indices))
        compared += 1
    assert compared >= 4


@pytest.mark.data
def test_real_clips_from_shards(shared_data, tmp_path):
    options = {**SMALL, "frames": 8, "size": (56, 56), "resize": (64, 80), "short_clips": "last"}
    options |= {"limit_per_class": 3, "clips": 2, "crops": 3, "num_workers": 2}
    files = VideoFolder(root=str(shared_data / "avletters"), **options)
    write_shards(files, tmp_path / "shards", shard_mb=0.5)
    shards = VideoShards(root=str(tmp_path / "shards"), **options)
    assert len(shards._shards) > 4
    for got, want in zip(shards.test_dataloader(), files.test_dataloader(), strict=True):
        assert torch.equal(got["clip"], want["clip"])
    assert sorted(videos_of(shards.train_dataloader())) == list(range(78))


# Misuse and damage.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": "pipe:cat x"}, "data.root='pipe:cat x': commands are not run, as a config"),
        ({"root": "s3://bucket/set"}, "data.root='s3://bucket/set': s3:// cannot be read; give a"),
        ({"root": "file://data/set"}, "a file URL has three slashes, as file:///data/set"),
        ({"cache_dir": "x"}, "data.cache_dir='x': keeps what comes from a web server, and data"),
        ({"shuffle_buffer": 0}, "data.shuffle_buffer=0: at least 1"),
        ({"exclude": "x.csv"}, "data.exclude='x.csv': is for writing shards .datasets/shard.py"),
        ({"batch_size": 0}, "data.batch_size=0: at least 1"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        VideoShards(**{"root": "shards", **options})


def test_without_the_library(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs webdataset, which `pip install 'videowino\[shard"):
        VideoShards(root="shards")


def test_no_such_shards(made, tmp_path):
    with pytest.raises(FileNotFoundError, match="data.root='.*nowhere': no such folder"):
        _ = VideoShards(root=str(tmp_path / "nowhere")).num_classes
    with pytest.raises(FileNotFoundError, match="clips': no index.json in it, so no .whole. set"):
        VideoShards(root=str(made.parent / "clips")).setup("fit")
    with pytest.raises(ValueError, match="data.split=2: the shards in .* are of split 1; datasets"):
        VideoShards(root=str(made), split=2).setup("fit")
    VideoShards(root=str(made), split=1).setup("fit")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index | {"version": 2}, "version 2 of the format, .*reads version 1; updat"),
        (lambda index: index | {"format": "x"}, "not an index of shards that datasets/shard.py"),
        (lambda index: [], "not an index of shards"),
        (lambda index: index | {"clips": {}}, "an index with something amiss"),
        (lambda index: index | {"class_names": ["Jump"]}, "something amiss .clip train-00"),
    ],
)
def test_an_index_that_cannot_be_used(change, message, broken):
    path = broken / "index.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=f"index.json: .*{message}"):
        VideoShards(root=str(broken)).setup("fit")


def test_an_index_that_was_cut_off(broken):
    path = broken / "index.json"
    path.write_text(path.read_text()[:500])
    with pytest.raises(ValueError, match="index.json: not JSON, cut off perhaps; write the shar"):
        VideoShards(root=str(broken)).setup("fit")


def test_an_index_that_names_files_elsewhere(broken):
    path = broken / "index.json"
    path.write_text(path.read_text().replace("train-000000.tar", "../../train-000000.tar"))
    with pytest.raises(ValueError, match="something amiss .'../../train-000000.tar'"):
        VideoShards(root=str(broken)).setup("fit")


def test_absent_and_cut_shards_are_noticed_before_training(broken):
    shard = broken / "train-000001.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[:-100])
    with pytest.raises(ShardError, match=r"train-000001.tar: cut off, it has \d+ bytes and the"):
        VideoShards(root=str(broken), **SMALL).setup("fit")
    shard.write_bytes(content + b"x")
    with pytest.raises(ShardError, match="train-000001.tar: altered, it has .* write the shards"):
        VideoShards(root=str(broken), **SMALL).setup("fit")
    shard.unlink()
    with pytest.raises(ShardError, match="train-000001.tar: absent, the index lists it; copy it"):
        VideoShards(root=str(broken), **SMALL).setup("fit")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_altered_shard_is_named_with_the_clip(workers, broken):
    shard = broken / "train-000002.tar"
    content = bytearray(shard.read_bytes())
    content[3000] ^= 1
    shard.write_bytes(content)
    data = VideoShards(root=str(broken), **{**SMALL, "num_workers": workers})
    with pytest.raises(ShardError, match="train-000002.tar: 0.*: altered since it was written"):
        list(data.train_dataloader())


def test_a_clip_that_cannot_be_decoded_is_named_and_another_takes_its_place(tmp_path):
    (tmp_path / "clips").mkdir()
    root = write_lists(write_folder(tmp_path / "clips", groups=13), test_groups=(1, 2))
    for name in ("Run/v_Run_g03_c01.avi", "Jump/v_Jump_g01_c01.avi"):
        (root / "videos" / name).write_bytes(b"")
    write_shards(VideoFolder(root=str(root)), tmp_path / "shards", shard_mb=0.03)
    options = {**SMALL, "batch_size": 2, "shuffle_buffer": 2}
    data = VideoShards(root=str(tmp_path / "shards"), **options)
    name = (
        r"/shards/train-00000\d.tar: 000011_v_Run_g03_c01 \('Run/v_Run_g03_c01.avi'\): the file is"
    )
    loader = data.train_dataloader()
    reader, batches, most = loader.dataset._clip_reader, [], 0
    for batch in loader:
        batches.append(batch)
        most = max(most, len(reader._held))
    assert most <= 2  # the clip in its place was not waited for in the order of reading
    with pytest.warns(UserWarning, match=f"{name} empty .0 bytes.; another clip takes its place"):
        batches = [data.take_bad(batch) for batch in batches]
    seen = [int(v) for batch in batches for v in batch["video"]]
    assert len(seen) == 22 and set(seen) == set(range(22)) - {11}
    loader = data.test_dataloader()
    for _ in range(2):
        found = list(loader)
        reader = loader.dataset._clip_reader
        assert not reader._expected and not reader._held  # all were read in their turn
    with pytest.warns(UserWarning, match="Jump_g01_c01.avi'.: the file is .*; it counts as wrong"):
        found = [data.take_bad(batch) for batch in found]
    assert [int(v) for batch in found for v in batch["video"]] == [0, 1, 2, 3]
    assert found[0]["unreadable"].tolist() == [True, False]
    strict = VideoShards(root=str(tmp_path / "shards"), **options, max_bad=0)
    with pytest.raises(ValueError, match=f"1 of 22 train videos cannot be read.*{name}"):
        for batch in strict.train_dataloader():
            strict.take_bad(batch)


def test_a_video_that_took_the_place_of_another_in_memory_is_read_anew(made):
    """What is known of a file is remembered by its path, size and time."""
    clips = sorted((made.parent / "clips").rglob("*.avi"))
    content = clips[0].read_bytes()
    longer = write_counting(made.parent / "longer.avi", frames=9).read_bytes()
    content += bytes(len(longer) - len(content))
    for _ in range(5):
        for data, frames in ((content, 6), (longer, 9)):
            assert MemoryVideo(data, "x").num_frames == frames


def test_datasets_go_to_workers_that_are_spawned(made):
    dataset = VideoShards(root=str(made), **SMALL).train_dataloader().dataset
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again[3, 1]["clip"], dataset[3, 1]["clip"])
