import shutil
from collections import Counter

import pytest
import torch

from tests.data.conftest import frame_numbers, write_counting, write_folder, write_lists
from videowino.data import HMDB51, UCF101, VideoDataModule, VideoFolder

SMALL = {"frames": 4, "size": (16, 24), "resize": None, "batch_size": 3, "num_workers": 0}


def grey_frames(clip, data):
    """Frame numbers of a clip C T H W of a counting video."""
    mean, std = (torch.tensor(data.hparams[key])[:, None, None, None] for key in ("mean", "std"))
    return frame_numbers(((clip * std + mean) * 255).transpose(0, 1))


def test_training_batch(listed):
    data = VideoFolder(root=str(listed), **SMALL)
    data.setup("fit")
    assert data.class_names == ["Jump", "Run"]
    assert data.num_classes == 2
    batches = list(data.train_dataloader())
    assert [len(batch["label"]) for batch in batches] == [3, 3]
    assert batches[0]["clip"].shape == (3, 3, 4, 16, 24)
    assert batches[0]["clip"].dtype == torch.float32
    assert batches[0]["label"].dtype == batches[0]["video"].dtype == torch.int64
    videos = data.videos("fit")
    for batch in batches:
        for clip, label, video in zip(batch["clip"], batch["label"], batch["video"]):
            assert videos[video].label == label
            start, *rest = grey_frames(clip, data)
            assert rest == [start + 1, start + 2, start + 3]
    assert sorted(int(v) for batch in batches for v in batch["video"]) == list(range(6))


def test_evaluation_batches(listed):
    data = VideoFolder(root=str(listed), clips=3, crops=3, **SMALL)
    data.setup("validate")
    (batch,) = data.val_dataloader()
    assert batch["clip"].shape == (2, 1, 3, 4, 16, 24)
    assert grey_frames(batch["clip"][0, 0], data) == [1, 2, 3, 4]
    data.setup("test")
    for loader in (data.test_dataloader(), data.predict_dataloader()):
        (batch,) = loader
        assert batch["clip"].shape == (2, 9, 3, 4, 16, 24)
        assert batch["label"].tolist() == [0, 1]
        assert batch["video"].tolist() == [0, 1]
        starts = [grey_frames(view, data)[0] for view in batch["clip"][1]]
        assert starts == [0, 1, 2] * 3  # crop by crop, its clips in order


def test_validation_and_prediction_use_the_test_list(listed):
    data = VideoFolder(root=str(listed), **SMALL)
    names = [v.path.name for v in data.videos("test")]
    assert names == ["v_Jump_g01_c01.avi", "v_Run_g01_c01.avi"]
    assert data.videos("val") == data.videos("predict") == data.videos("test")
    with pytest.raises(ValueError, match="stage='testing': one of train, val, test, predict"):
        data.videos("testing")


def test_validation_on_a_part_of_the_training_list(listed):
    data = VideoFolder(root=str(listed), val_fraction=0.34, **SMALL)
    parts = [{v.group for v in data.videos(part)} for part in ("train", "val", "test")]
    assert sorted(len(groups) for groups in parts) == [1, 1, 2]
    assert not parts[0] & parts[1]
    assert parts[2] == {"g01"}


def epoch(data, number):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    batches = list(loader)
    return torch.cat([b["clip"] for b in batches]), torch.cat([b["video"] for b in batches])


def test_an_epoch_depends_on_seed_and_number_alone(listed):
    options = {**SMALL, "size": (16, 16), "color_jitter": 0.3, "random_erasing": 0.5}
    first = epoch(VideoFolder(root=str(listed), **options), 2)
    torch.manual_seed(1234)
    state = torch.get_rng_state()
    data = VideoFolder(root=str(listed), **{**options, "num_workers": 2, "cache_gb": 0})
    for clips, videos in (epoch(data, 2), epoch(data, 2)):
        assert torch.equal(videos, first[1])
        assert torch.equal(clips, first[0])
    assert torch.equal(torch.get_rng_state(), state)  # the network's generator is not touched
    assert not torch.equal(epoch(data, 3)[0], first[0])
    other = VideoFolder(root=str(listed), **options, seed=1)
    assert not torch.equal(epoch(other, 2)[0], first[0])


def test_cached_videos_give_the_same_clips_without_their_files(listed):
    cached = VideoFolder(root=str(listed), **SMALL)
    loader = cached.train_dataloader()
    once = list(loader)
    shutil.rmtree(listed / "videos")
    again = list(loader)
    for a, b in zip(once, again):
        assert torch.equal(a["clip"], b["clip"])


def test_cache_takes_no_more_than_its_share(listed):
    size = 6 * 24 * 32 * 3
    data = VideoFolder(root=str(listed), **SMALL, cache_gb=2.5 * size / 1e9)
    loader = data.train_dataloader()
    list(loader)
    kept = loader.dataset._kept
    assert [video.num_bytes for video in kept.values()] == [size, size]


def test_hyper_parameters_build_the_same_module(listed):
    data = VideoFolder(root=listed, **SMALL, flip=False)
    assert data.hparams["root"] == str(listed)
    again = VideoFolder(**data.hparams)
    assert dict(again.hparams) == dict(data.hparams)
    assert again.hparams["size"] == (16, 24)


def test_limit_per_class(tmp_path):
    root = write_lists(write_folder(tmp_path, groups=5), test_groups=(1, 2))
    data = VideoFolder(root=str(root), **SMALL, limit_per_class=1)
    assert [v.path.stem for v in data.videos("train")] == ["v_Jump_g03_c01", "v_Run_g03_c01"]
    assert [v.path.stem for v in data.videos("test")] == ["v_Jump_g01_c01", "v_Run_g01_c01"]


# Folders without lists.


def test_two_groups_are_one_to_train_and_one_to_test(tmp_path):
    root = write_folder(tmp_path / "clips", groups=2)
    first = root / "videos" / "Run" / "v_Run_g01_c01.avi"
    shutil.copy(first, first.with_name("v_Run_g01_c02.avi"))
    data = VideoFolder(root=str(root), **SMALL)
    assert {v.group for v in data.videos("train")} == {"g01"}
    assert {v.group for v in data.videos("test")} == {"g02"}


def test_one_group_cannot_be_split(tmp_path):
    root = write_folder(tmp_path / "clips", groups=1)
    with pytest.raises(ValueError, match=r"no group .*1 in all.* write split lists, see datasets"):
        VideoFolder(root=str(root), **SMALL).videos("train")


def test_one_class_is_none_to_tell_apart(tmp_path):
    root = write_folder(tmp_path / "clips", classes=("Jump",))
    with pytest.raises(ValueError, match="clips': Jump is its only class; a classifier needs two"):
        _ = VideoFolder(root=str(root), **SMALL).num_classes


def test_no_group_for_validation(listed):
    data = VideoFolder(root=str(listed), val_fraction=0.01, **SMALL)
    with pytest.raises(
        ValueError, match=r"data.val_fraction=0.01: no group .* \(3 groups, 6 clips"
    ):
        data.videos("train")


def test_clips_in_both_lists_are_named_once(listed):
    path = listed / "splits" / "testlist01.txt"
    path.write_text(path.read_text() + "Run/v_Run_g02_c01.avi\n")
    data = VideoFolder(root=str(listed), **SMALL)
    with pytest.warns(UserWarning, match="1 of 3 clips of the test list .* v_Run_g02") as warned:
        data.videos("train")
        data.videos("test")
    assert len(warned) == 1


@pytest.mark.parametrize(
    ("option", "match"),
    [
        ({"size": (0, 0)}, r"data.size=\[0, 0\]: height and width, at least 1"),
        ({"resize": 0}, "data.resize=0: one side, or height and width"),
        ({"resize": (128, -1)}, r"data.resize=\(128, -1\)"),
        ({"scale": (2.0, 3.0)}, r"data.scale=\[2.0, 3.0\]: shares of the frame, the smaller first"),
        ({"scale": (0.8, 0.2)}, r"data.scale=\[0.8, 0.2\]"),
        ({"scale": (0.0, 1.0)}, r"data.scale=\[0.0, 1.0\]"),
        ({"random_erasing": 3}, "data.random_erasing=3: from 0 to 1"),
        ({"color_jitter": -1}, "data.color_jitter=-1: 0 .off. or more"),
        ({"std": (0.2, 0.0, 0.2)}, r"data.std=\[0.2, 0.0, 0.2\]: above 0"),
    ],
)
def test_transforms_that_cannot_be(option, match):
    with pytest.raises(ValueError, match=match):
        VideoFolder(root="clips", **{**SMALL, **option})


def test_own_split_keeps_groups_together(tmp_path, caplog):
    root = write_folder(tmp_path / "clips", groups=10)
    for name in ("Jump", "Run"):
        for group in range(1, 11):
            first = root / "videos" / name / f"v_{name}_g{group:02d}_c01.avi"
            shutil.copy(first, first.with_name(f"v_{name}_g{group:02d}_c02.avi"))
    with caplog.at_level("INFO"):
        data = VideoFolder(root=str(root), **SMALL)
        train, test = data.videos("train"), data.videos("test")
    assert Counter(v.label for v in train) == {0: 16, 1: 16}
    assert Counter(v.label for v in test) == {0: 4, 1: 4}
    assert not {v.group for v in train} & {v.group for v in test}
    message = "has no split lists: 32 clips train, 8 clips (2 whole groups) test"
    assert [message in record.message for record in caplog.records] == [True]
    assert VideoFolder(root=str(root), **SMALL).videos("test") == test


def test_own_split_of_names_without_groups_and_without_a_videos_folder(tmp_path):
    for name in ("Jump", "Run"):
        for number in range(5):
            write_counting(tmp_path / name / f"holiday {number}.avi", frames=6)
    data = VideoFolder(root=str(tmp_path), **SMALL)
    assert data.class_names == ["Jump", "Run"]
    assert Counter(v.label for v in data.videos("test")) == {0: 1, 1: 1}
    assert len(data.videos("train")) == 8


def test_lists_beside_class_folders(tmp_path):
    root = write_lists(write_folder(tmp_path))
    for name in ("Jump", "Run"):
        (root / "videos" / name).rename(root / name)
    (root / "videos").rmdir()
    data = VideoFolder(root=str(root), **SMALL)
    assert data.class_names == ["Jump", "Run"]
    assert [len(data.videos(part)) for part in ("train", "test")] == [6, 2]


# The benchmarks.


def ucf101(root, videos="videos"):
    """Two classes of the 101, with the official lists' peculiarities."""
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_bytes(b"1 Punch\r\n2 HandstandPushups\r\n")
    names = {
        "Punch": "v_Punch_g{:02d}_c01.avi",
        "HandstandPushups": "v_HandStandPushups_g{:02d}_c01.avi",
    }
    train, test = "", ""
    for label, (folder, name) in enumerate(names.items(), 1):
        test += f"{folder}/{name.format(1)}\r\n"
        train += f"{folder}/{name.format(8)} {label}\r\n{folder}/{name.format(9)} {label}\r\n"
        for group in (1, 8):
            write_counting(root / videos / folder / name.format(group), frames=6)
    for split in (1, 2, 3):
        (lists / f"trainlist{split:02d}.txt").write_bytes(train.encode())
        (lists / f"testlist{split:02d}.txt").write_bytes((test + "\r\n").encode())
    return root


@pytest.mark.parametrize("videos", ["videos", "UCF-101", "."])
def test_ucf101_layouts(tmp_path, videos):
    data = UCF101(root=str(ucf101(tmp_path, videos)), **SMALL)
    assert data.class_names == ["Punch", "HandstandPushups"]
    with pytest.warns(UserWarning, match="2 of 6 listed clips are not on disk"):
        data.setup("fit")
    assert [(v.label, v.group) for v in data.videos("train")] == [(0, "g08"), (1, "g08")]
    assert [(v.label, v.group) for v in data.videos("test")] == [(0, "g01"), (1, "g01")]
    assert data.videos("test")[1].path.name == "v_HandStandPushups_g01_c01.avi"
    assert [len(batch["label"]) for batch in data.train_dataloader()] == [2]


def hmdb51(root, videos="videos", lists="testTrainMulti_7030_splits"):
    marks = {"golf": "1 1 2 0", "shoot_bow": "1 2 1 0"}
    for name, of_clips in marks.items():
        files = [f"Fore!!! 300+_(HQ){n}_{name}_f_nm_np1_fr_med_0.avi" for n in "abcd"]
        for file in files:
            write_counting(root / videos / name / file, frames=6)
        lines = [f"{file} {mark} \r\n" for file, mark in zip(files, of_clips.split())]
        (root / lists).mkdir(exist_ok=True)
        for split in (1, 2, 3):
            (root / lists / f"{name}_test_split{split}.txt").write_text("".join(lines))
    return root


@pytest.mark.parametrize("videos", ["videos", "hmdb51", "."])
@pytest.mark.parametrize("lists", ["testTrainMulti_7030_splits", "splits"])
def test_hmdb51_layouts(tmp_path, videos, lists):
    data = HMDB51(root=str(hmdb51(tmp_path, videos, lists)), **SMALL)
    assert data.class_names == ["golf", "shoot_bow"]
    data.setup("fit")
    assert [v.label for v in data.videos("train")] == [0, 0, 1, 1]
    assert [(v.label, v.group) for v in data.videos("test")] == [
        (0, "Fore!!! 300+_(HQ)c"),
        (1, "Fore!!! 300+_(HQ)b"),
    ]
    assert len(list(data.train_dataloader())) == 2


@pytest.mark.data
def test_official_lists_name_all_clips(shared_data):
    ucf, hmdb = (shared_data / name for name in ("ucf101", "hmdb51"))
    for split, train, test in ((1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)):
        parts = UCF101(root=str(ucf), split=split).read_split()
        assert [len(part) for part in parts] == [train, test]
        assert not {(v.label, v.group) for v in parts[0]} & {(v.label, v.group) for v in parts[1]}
    for split in (1, 2, 3):
        train, test = HMDB51(root=str(hmdb), split=split).read_split()
        assert Counter(Counter(v.label for v in train).values()) == {70: 51}
        assert Counter(Counter(v.label for v in test).values()) == {30: 51}
    assert UCF101(root=str(ucf)).class_names[100] == "YoYo"
    assert HMDB51(root=str(hmdb)).class_names[0] == "brush_hair"


@pytest.mark.data
def test_real_benchmark_clips_make_batches(shared_data):
    small = {"frames": 8, "size": (32, 32), "resize": (36, 48), "num_workers": 0}
    ucf = UCF101(root=str(shared_data / "ucf101"), clips=2, **small)
    with pytest.warns(
        UserWarning, match="13316 of 13320 listed clips are not on disk and are left"
    ):
        ucf.setup("test")
    (batch,) = ucf.test_dataloader()
    assert batch["clip"].shape == (4, 2, 3, 8, 32, 32)
    assert [ucf.class_names[label] for label in batch["label"]] == [
        "ApplyEyeMakeup",
        "BaseballPitch",
        "Biking",
        "Punch",
    ]
    hmdb = HMDB51(root=str(shared_data / "hmdb51"), **small)
    with pytest.warns(UserWarning, match="5095 of 5100 listed clips are not on disk"):
        hmdb.setup("fit")
    (batch,) = hmdb.train_dataloader()
    assert sorted(hmdb.class_names[label] for label in batch["label"]) == [
        "climb",
        "golf",
        "shoot_bow",
        "swing_baseball",
    ]


# Misuse.


@pytest.mark.parametrize("kind", [UCF101, HMDB51, VideoFolder])
def test_no_such_root(tmp_path, kind):
    data = kind(root=str(tmp_path / "nowhere"))
    message = r"data.root='.*nowhere': no such folder"
    with pytest.raises(FileNotFoundError, match=message):
        data.setup("fit")
    with pytest.raises(FileNotFoundError, match=message):
        _ = data.num_classes


def test_root_without_lists_or_classes(tmp_path):
    with pytest.raises(FileNotFoundError, match="no ucfTrainTestlist/.*in it; datasets/ucf101.md"):
        UCF101(root=str(tmp_path)).setup("fit")
    with pytest.raises(FileNotFoundError, match="no testTrainMulti_7030_splits/.*datasets/hmdb51"):
        HMDB51(root=str(tmp_path)).setup("fit")
    with pytest.raises(ValueError, match="no class folders with video files in"):
        VideoFolder(root=str(tmp_path)).setup("fit")


def test_empty_class_folder(listed):
    (listed / "videos" / "Sit").mkdir()
    with pytest.raises(
        ValueError, match="Sit: the class folder holds no video file; fill or remove"
    ):
        VideoFolder(root=str(listed)).setup("fit")


@pytest.mark.parametrize(
    ("kind", "make", "name"), [(UCF101, ucf101, "Punch"), (HMDB51, hmdb51, "golf")]
)
def test_empty_class_folder_of_a_benchmark(tmp_path, kind, make, name):
    for path in (make(tmp_path) / "videos" / name).iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=f"{name}: the class folder holds no video file"):
        kind(root=str(tmp_path)).setup("fit")


def test_lists_that_name_nothing_on_disk(listed):
    shutil.move(listed / "videos" / "Jump", listed / "videos" / "Leap")
    shutil.move(listed / "videos" / "Run", listed / "videos" / "Sprint")
    with pytest.raises(ValueError, match="none of the 8 clips that the split lists name is in"):
        VideoFolder(root=str(listed)).setup("fit")


def test_one_list_that_names_nothing_on_disk(listed, recwarn):
    for path in (listed / "videos").rglob("*_g01_*"):
        path.unlink()
    data = VideoFolder(root=str(listed), **SMALL)
    data.setup("fit")
    messages = [str(warning.message) for warning in recwarn]
    assert ["2 of 8 listed clips are not on disk" in messages[0], len(messages)] == [True, 2]
    assert "training runs without validation; data.val_fraction takes some" in messages[1]
    assert data.val_dataloader() == []
    with pytest.raises(ValueError, match="data.split=1: the test list names no clip that is in"):
        data.setup("test")
    with pytest.raises(ValueError, match="data.split=1: there is no clip to validate on"):
        data.setup("validate")


def test_absent_clips_as_an_error(listed):
    next((listed / "videos" / "Run").iterdir()).unlink()
    with pytest.raises(FileNotFoundError, match="1 of 8 listed clips are not on disk: v_Run_g0"):
        VideoFolder(root=str(listed), missing="error").setup("fit")


def test_unknown_splits(tmp_path, listed):
    with pytest.raises(FileNotFoundError, match="data.split=2: no trainlist02.txt .* has lists 01"):
        VideoFolder(root=str(listed), split=2).setup("fit")
    (listed / "splits" / "testlist01.txt").unlink()
    with pytest.raises(FileNotFoundError, match="data.split=1: no testlist01.txt in"):
        VideoFolder(root=str(listed)).setup("fit")
    shutil.rmtree(listed / "splits")
    with pytest.raises(ValueError, match="data.split=2: .* without lists there is only split 1"):
        VideoFolder(root=str(listed), split=2).setup("fit")
    for kind, make in ((UCF101, ucf101), (HMDB51, hmdb51)):
        root = tmp_path / kind.__name__
        root.mkdir()
        with pytest.raises(
            ValueError, match=f"data.split=4: {kind.__name__} has splits 1, 2 and 3"
        ):
            kind(root=str(make(root)), split=4).setup("fit")


def test_hmdb51_list_that_cannot_be_read(tmp_path):
    path = hmdb51(tmp_path) / "testTrainMulti_7030_splits" / "golf_test_split1.txt"
    path.write_text("clip.avi 3\n")
    with pytest.raises(ValueError, match=r"golf_test_split1.txt: cannot read 'clip.avi 3'"):
        HMDB51(root=str(tmp_path)).setup("fit")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("batch_size", 0, "data.batch_size=0: at least 1"),
        ("num_workers", -1, "data.num_workers=-1"),
        ("clips", 0, "data.clips=0: at least 1"),
        ("crops", 2, "data.crops=2: 1"),
        ("val_fraction", 1.0, "data.val_fraction=1.0: from 0 to below 1"),
        ("missing", "skip", "data.missing='skip'"),
        ("decoder", "cv2", "data.decoder='cv2'"),
        ("limit_per_class", 0, "data.limit_per_class=0"),
        ("cache_gb", -1, "data.cache_gb=-1"),
        ("stretch", 0.5, "data.stretch=0.5"),
        ("frames", 0, "data.frames=0"),
    ],
)
def test_arguments_out_of_range(name, value, message):
    with pytest.raises(ValueError, match=message):
        VideoDataModule(**{"root": ".", name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 7}, r"_c01.avi: 6 frames, but data.frames=7 .*set data.short_clips"),
        ({"size": (30, 30)}, r"_c01.avi: frames are 24x32 after data.resize, smaller than"),
    ],
)
def test_unfit_video_is_named(listed, change, message):
    data = VideoFolder(root=str(listed), **{**SMALL, **change})
    with pytest.raises(ValueError, match=f"none of 6 clips in a row can be read.*{message}"):
        list(data.train_dataloader())
    with pytest.raises(
        ValueError, match=rf"1 of 2 test videos cannot be read.*{message}"
    ) as caught:
        list(map(data.take_bad, data.test_dataloader()))
    assert "\n" not in str(caught.value)
