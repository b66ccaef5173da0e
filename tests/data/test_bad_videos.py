"""Files that cannot be read: replaced in training, wrong in tests, named once, and not too many."""

import ctypes
import warnings

import pytest
import torch

from tests.data.conftest import write_folder, write_lists
from videowino.data import VideoFolder, dataset
from videowino.data.bad_videos import BadVideos, collate
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
