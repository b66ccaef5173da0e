"""Test clips of several protocols from one decoding, and the memory that takes."""

import pytest
import torch

from tests.data.conftest import STEP, frame_numbers, write_counting
from videowino.data import VideoFolder, dataset
from videowino.data.dataset import VideoDataset
from videowino.data.sampling import ClipSampler
from videowino.data.splits import Video
from videowino.data.transforms import resize_transform

SMALL = {"frames": 4, "size": (16, 24), "resize": None, "num_workers": 0, "batch_size": 1}


def test_clips_of_several_protocols_uncropped(listed):
    data = VideoFolder(root=str(listed), **SMALL)
    first, second = data.resized_dataloader([1, 3])
    assert first["clip"].shape == (1, 4, 4, 3, 24, 32)
    assert first["clip"].dtype == torch.uint8
    assert [frame_numbers(clip)[0] for clip in second["clip"][0]] == [1, 0, 1, 2]
    assert (second["label"].tolist(), second["video"].tolist()) == ([1], [1])
    assert second["unreadable"].tolist() == [False]


def test_an_unreadable_video_is_as_many_black_clips(listed):
    next((listed / "videos" / "Run").glob("*_g01_*")).write_bytes(b"no video")
    data = VideoFolder(root=str(listed), **SMALL)
    bad = list(data.resized_dataloader([1, 3]))[1]
    assert bad["unreadable"].tolist() == [True]
    assert bad["clip"].shape == (1, 4, 4, 3, 16, 24)
    assert not bad["clip"].any()


@pytest.mark.parametrize(("clips_at_once", "calls"), [(1, 6), (4, 2), (100, 1)])
def test_no_more_than_some_clips_are_held_whole(tmp_path, monkeypatch, clips_at_once, calls):
    path = write_counting(tmp_path / "a.avi", frames=12)
    monkeypatch.setattr(dataset, "_TOGETHER", clips_at_once * 4 * 3 * 24 * 32)
    videos = [Video(path, 0, "g")]
    samples = VideoDataset(videos, ClipSampler(4), resize_transform((8, 8), (12, 16)), clips=(1, 5))
    asked = []
    take = VideoDataset._frames

    def note(self, reader, indices):
        asked.append(len(indices))
        return take(self, reader, indices)

    monkeypatch.setattr(VideoDataset, "_frames", note)
    clips = samples[0]["clip"]
    assert clips.shape == (6, 4, 3, 12, 16)
    assert [round(float(c[0].float().mean()) / STEP) for c in clips] == [4, 0, 2, 4, 6, 8]
    assert (len(asked), sum(asked)) == (calls, 24)


def test_ten_crops_are_views(listed):
    data = VideoFolder(root=str(listed), crops=10, clips=2, **SMALL)
    batch = next(iter(data.test_dataloader()))
    assert batch["clip"].shape == (1, 20, 3, 4, 16, 24)
    with pytest.raises(ValueError, match=r"no_flip.*as data.crops=10.*crops to 1 or 3"):
        VideoFolder(root=str(listed), crops=10, no_flip=["Run"], **SMALL)
