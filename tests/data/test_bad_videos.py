"""Files that cannot be read: replaced in training, wrong in tests, named once, and not too many."""

import ctypes
import os
import warnings

import pytest
import torch

from tests.data import odd_videos
from tests.data.conftest import write_counting, write_folder, write_lists
from videowino.cli import is_user_error
from videowino.data import VideoFolder, dataset
from videowino.data.bad_videos import BadVideos, collate
from videowino.data.decoding import DecoderError
from videowino.data.scores import count_wrong, unreadable

SMALL = {"frames": 4, "size": (16, 24), "resize": None, "batch_size": 4}
EMPTY = r"v_Run_g03_c01.avi: the file is empty \(0 bytes\)"


@pytest.fixture
def broken(tmp_path):
    """12 clips to train on and 12 to test on, one of each empty."""
    root = write_lists(write_folder(tmp_path / "clips", groups=12), test_groups=range(7, 13))
    for group in (3, 9):
        (root / "videos" / "Run" / f"v_Run_g{group:02d}_c01.avi").write_bytes(b"")
    return root


def epoch(data, loader):
    batches = [data.take_bad(batch) for batch in loader]
    labels = torch.cat([batch["label"] for batch in batches]).tolist()
    return torch.cat([batch["video"] for batch in batches]).tolist(), labels, batches


@pytest.mark.parametrize("workers", [0, 2])
def test_another_clip_takes_the_place_of_a_bad_one(broken, workers):
    data = VideoFolder(root=str(broken), num_workers=workers, **SMALL)
    bad = [video.path.name for video in data.videos("train")].index("v_Run_g03_c01.avi")
    loader = data.train_dataloader()
    with pytest.warns(UserWarning, match=EMPTY + "; another clip takes its place"):
        seen, labels, batches = epoch(data, loader)
    assert "bad" not in batches[0] and bad not in seen and len(seen) == 12
    assert [data.videos("train")[index].label for index in seen] == labels
    assert set(range(12)) - {bad} == set(seen)  # the others, one of them twice
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # named once
        again, _, _ = epoch(data, loader)
    assert len(again) == 12
    assert list(data.bad_videos("fit").reasons) == [bad]


def test_the_clip_in_its_place_does_not_depend_on_workers(broken):
    found = []
    for workers in (0, 1, 3):
        data = VideoFolder(root=str(broken), num_workers=workers, **SMALL)
        with pytest.warns(UserWarning, match=EMPTY):
            found.append(epoch(data, data.train_dataloader())[0])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_test_video_stays(broken, workers):
    data = VideoFolder(root=str(broken), num_workers=workers, clips=2, **SMALL)
    with pytest.warns(UserWarning, match=r"v_Run_g09_c01.avi: .*; it counts as wrong"):
        seen, _, batches = epoch(data, data.test_dataloader())
    assert seen == list(range(12))
    bad = torch.cat([batch["unreadable"] for batch in batches])
    assert [data.videos("test")[i].path.name for i in bad.nonzero()] == ["v_Run_g09_c01.avi"]
    clips = torch.cat([batch["clip"] for batch in batches])
    assert clips.shape == (12, 2, 3, 4, 16, 24) and clips.isfinite().all()


def test_none_allowed(broken):
    data = VideoFolder(root=str(broken), num_workers=0, max_bad=0, **SMALL)
    message = (
        rf"1 of 12 train videos cannot be read, more than data.max_bad=0 allows \(0\): .*{EMPTY}"
    )
    with pytest.raises(
        ValueError, match=message + r"\. `python datasets/verify.py --root"
    ) as caught:
        epoch(data, data.train_dataloader())
    assert "\n" not in str(caught.value)


def test_absent_and_short_and_hanging_clips(broken, monkeypatch):
    folder = broken / "videos" / "Jump"
    hanging = folder / "v_Jump_g02_c01.avi"
    original = dataset.open_video

    def stuck(path, decoder):
        if path == hanging:
            ctypes.CDLL(None).usleep(2_000_000)
        return original(path, decoder)

    monkeypatch.setattr(dataset, "open_video", stuck)
    data = VideoFolder(root=str(broken), num_workers=0, decode_timeout=0.3, **SMALL)
    data.setup("fit")
    (folder / "v_Jump_g01_c01.avi").unlink()
    with pytest.warns(UserWarning) as warned:
        seen, _, _ = epoch(data, data.train_dataloader())
    said = [str(warning.message) for warning in warned]
    assert any("v_Jump_g01_c01.avi: no such video file" in text for text in said)
    late = "v_Jump_g02_c01.avi: decoding took longer than 0.3 s (data.decode_timeout)"
    assert any(late in text for text in said)
    assert len(said) == 3 and len(seen) == 12


def half_broken(path):
    """Twelve frames, of which the last four do not decode: their packets are blank."""
    content = bytearray(write_counting(path).read_bytes())
    place = content.index(b"movi") + 4
    for number in range(12):
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        if number >= 8:
            content[place + 8 : place + 8 + size] = bytes(size)
        place += 8 + size + size % 2
    path.write_bytes(content)


@pytest.mark.parametrize("cache_gb", [0, 0.1])
@pytest.mark.filterwarnings("ignore:.*corrupt")
def test_a_partly_broken_file_is_the_same_for_any_process(broken, cache_gb):
    """Whatever was read of it before: clips of its good frames are taken, others replaced."""
    half_broken(broken / "videos" / "Jump" / "v_Jump_g01_c01.avi")
    alone = VideoFolder(root=str(broken), num_workers=0, cache_gb=0, **SMALL)
    alone.setup("fit")
    keys = [(0, seed) for seed in range(12)]
    fresh = [alone.dataset("train", alone._train_transform)[key]["video"] for key in keys]
    data = VideoFolder(root=str(broken), num_workers=0, cache_gb=cache_gb, **SMALL)
    data.setup("fit")
    samples = data.dataset("train", data._train_transform)
    assert [samples[key]["video"] for key in keys] == fresh
    assert 0 < fresh.count(0) < len(keys)


def test_a_pipe_named_as_a_video_does_not_hang(broken):
    path = broken / "videos" / "Jump" / "v_Jump_g02_c01.avi"
    path.unlink()
    os.mkfifo(path)
    data = VideoFolder(root=str(broken), num_workers=0, missing="warn", **SMALL)
    with pytest.warns(UserWarning, match="not in|no such|empty"):
        seen, _, _ = epoch(data, data.train_dataloader())
    assert len(seen) in (11, 12)


def test_a_decoder_that_is_not_for_a_file_makes_no_bad_video(broken):
    """The file is good: it may neither be replaced nor count as wrong."""
    path = broken / "videos" / "Jump" / "v_Jump_g02_c01.avi"
    odd_videos.write(path, odd_videos.counting(6), gop=6, b_frames=2)
    data = VideoFolder(root=str(broken), num_workers=0, decoder="decord", **SMALL)
    data.setup("fit")
    index = [video.path for video in data.videos("train")].index(path)
    with pytest.raises(DecoderError, match="v_Jump_g02_c01.avi: decord cannot read .*set data.dec"):
        data.dataset("train", data._train_transform)[index, 0]
    assert is_user_error(DecoderError("x"))


def test_what_there_were_in_the_end(tmp_path):
    bad = BadVideos("test", [None] * 30, 0.1, tmp_path)
    assert str(bad) == "" and bad.of_all_processes() is bad
    with pytest.warns(UserWarning):
        bad.add(3, "a.avi: broken")
    assert str(bad) == "1 of 30 test videos cannot be read and count as wrong"
    trained = BadVideos("train", [None] * 30, 0.1, tmp_path)
    trained.reasons = bad.reasons
    assert str(trained) == "1 of 30 train videos cannot be read: other clips took their places"


@pytest.mark.parametrize(
    ("videos", "share", "allowed"),
    [(1000, 0.05, 50), (100, 0.05, 10), (100, 0, 0), (12, 0.05, 5), (1, 0.05, 0), (100, 1, 49)],
)
def test_how_many_are_allowed(videos, share, allowed, tmp_path):
    bad = BadVideos("train", [None] * videos, share, tmp_path)
    assert bad.allowed == allowed
    with pytest.warns(UserWarning) if allowed else warnings.catch_warnings():
        for index in range(allowed):
            bad.add(index, f"{index}.avi: broken")
            bad.add(index, f"{index}.avi: broken")
    assert len(bad.reasons) == allowed
    with pytest.raises(ValueError, match=f"{allowed + 1} of {videos} train videos .*broken"):
        bad.add(allowed, f"{allowed}.avi: broken")


def test_collate():
    sample = {"clip": torch.ones(2), "label": 1, "video": 0}
    assert "bad" not in collate([sample, sample])
    one = ("train", 3, "a.avi: broken")
    batch = collate([sample | {"bad": [one]}, sample])
    assert batch["bad"] == [one] and batch["label"].tolist() == [1, 1]


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_shares_out_of_range(value):
    with pytest.raises(ValueError, match=rf"data.max_bad={value}: a share, from 0 to 1"):
        VideoFolder(root=".", max_bad=value)
    with pytest.raises(ValueError, match="data.decode_timeout=-1: seconds, or 0"):
        VideoFolder(root=".", decode_timeout=-1)


def test_scores_of_unreadable_videos_are_wrong_for_every_k():
    scores, label = torch.rand(4, 6), torch.tensor([2, 0, 5, 1])
    bad = torch.tensor([False, True, True, False])
    changed = count_wrong(scores, label, bad)
    assert torch.equal(changed[[0, 3]], scores[[0, 3]])
    top5 = changed.topk(5).indices
    assert not (top5[1] == 0).any() and not (top5[2] == 5).any()
    assert count_wrong(scores, label, torch.zeros(4, dtype=torch.bool)) is scores
    assert unreadable({"label": label}).tolist() == [False] * 4
    assert unreadable({"label": label, "unreadable": bad}) is bad
