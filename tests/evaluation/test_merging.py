"""Predictions of several processes as one result."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from videowino.data import Video
from videowino.evaluation.accuracy import AccuracyMeter, Prediction, accuracy_of
from videowino.evaluation.merging import gather_predictions, merge_predictions

CLASSES = 7
VIDEOS = [Video(Path(f"v{n}.avi"), n % CLASSES, "g") for n in range(11)]


@pytest.fixture(scope="module")
def whole():
    """What one process says of all videos, three views each."""
    generator = torch.Generator().manual_seed(0)
    meter = AccuracyMeter(CLASSES)
    label = torch.tensor([v.label for v in VIDEOS])
    logits = torch.randn(11, 3, CLASSES, generator=generator)
    logits[range(11), :, label] += 1.0
    meter.update(logits, label, torch.arange(11))
    return meter.predictions


def test_uneven_and_overlapping_parts_are_the_whole_again(whole):
    alone = accuracy_of(whole)
    assert 0 < alone.video_top1 < 100
    for parts in (
        [whole],
        [whole[:8], whole[8:]],
        [whole[::3], [], whole[1::3], whole[2::3]],
        [whole[6:], whole[:6] + whole[9:], whole[:1]],  # as where samplers fill up
        [whole[::-1], whole],
    ):
        merged = merge_predictions(parts, VIDEOS)
        assert [p.video for p in merged] == list(range(11))
        accuracy = accuracy_of(merged)
        for figure in ("clip_top1", "clip_top5", "video_top1", "video_top5", "clips", "videos"):
            assert getattr(accuracy, figure) == getattr(alone, figure)


def test_a_video_without_a_prediction_is_wrong_in_all_its_views(whole):
    merged = accuracy_of(merge_predictions([whole[:4], whole[6:]], VIDEOS))
    assert (merged.videos, merged.clips, merged.unreadable) == (11, 33, 2)
    seen = [*whole[:4], *whole[6:]]
    right = sum(int(p.probabilities.argmax()) == p.label for p in seen)
    assert merged.video_top1 == 100 * right / 11
    clips = sum(at == p.label for p in seen for at in p.view_classes)
    assert merged.clip_top1 == 100 * clips / 33
    among = sum(p.label in p.probabilities.topk(5).indices.tolist() for p in seen)
    assert merged.video_top5 == 100 * among / 11
    assert merged.clip_top5 == 100 * sum(sum(p.view_top5) for p in seen) / 33


def test_what_one_process_could_read_was_readable(whole):
    lost = replace(whole[3], unreadable=True)
    for parts in ([[lost], whole], [whole, [lost]]):
        assert accuracy_of(merge_predictions(parts, VIDEOS)).unreadable == 0
    assert accuracy_of(merge_predictions([[lost], [lost]], VIDEOS)).unreadable == 11


def test_rounding_is_no_conflict_but_another_network_is(whole):
    near = replace(whole[3], probabilities=whole[3].probabilities + 1e-6)
    assert merge_predictions([[near], whole], VIDEOS)[3] is near
    far = replace(whole[3], probabilities=whole[4].probabilities)
    with pytest.raises(ValueError, match="v3.avi: two processes predict different things"):
        merge_predictions([whole, [far]], VIDEOS)
    fewer = replace(whole[3], view_classes=whole[3].view_classes[:2])
    with pytest.raises(ValueError, match="and the same views"):
        merge_predictions([whole, [fewer]], VIDEOS)


def test_misuse(whole):
    with pytest.raises(ValueError, match="no test video to evaluate on"):
        merge_predictions([[], []], VIDEOS)
    with pytest.raises(ValueError, match="a prediction is for video 11 of a list of 11"):
        merge_predictions([[replace(whole[0], video=11)]], VIDEOS)
    with pytest.raises(ValueError, match="v0.avi: a prediction has it in class 3, the list in 0"):
        merge_predictions([[replace(whole[0], label=3)]], VIDEOS)


def _rank(rank, folder):
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    own = [Prediction(v, VIDEOS[v].label, torch.eye(CLASSES)[v % 3], (v % 3,)) for v in (rank, 5)]
    parts = gather_predictions(own)
    merged = merge_predictions(parts, VIDEOS)
    said = [p.video for p in merged if not p.unreadable]
    (folder / f"rank{rank}").write_text(str((len(parts), said)))
    torch.distributed.destroy_process_group()


def test_two_processes_gather(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    torch.multiprocessing.spawn(_rank, args=(tmp_path,), nprocs=2)
    for rank in (0, 1):
        assert (tmp_path / f"rank{rank}").read_text() == "(2, [0, 1, 5])"


def test_one_process_alone(whole):
    assert gather_predictions(whole) == [list(whole)]
