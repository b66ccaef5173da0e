"""A training that goes on in the middle of an epoch, on another number of processes."""

import warnings
from types import SimpleNamespace

import pytest

from videowino.data import VideoFolder


@pytest.mark.parametrize(
    ("batch", "batch_size", "ranks", "warns"),
    [(3, 4, 2, True), (3, 2, 2, False), (3, 4, 1, False), (0, 4, 2, False)],
)
def test_clips_are_left_out_or_seen_twice(batch, batch_size, ranks, warns):
    data = VideoFolder(root="clips", batch_size=batch_size)
    data.trainer = SimpleNamespace(world_size=ranks)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data.load_state_dict({"epoch": 1, "batch": batch, "at_once": 4})
    assert [str(one.message).startswith("data.batch_size=4: the checkpoint") for one in said] == (
        [True] if warns else []
    )
    assert data._start == (1, batch)


def test_a_checkpoint_of_before_says_nothing_of_it():
    data = VideoFolder(root="clips", batch_size=4)
    data.load_state_dict({"epoch": 1, "batch": 3})
    assert data._start == (1, 3)
