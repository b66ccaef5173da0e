import pytest
import torch

from videowino.data.sampling import ClipSampler


def seeds(sampler, num_frames, count=300):
    """All clips that so many draws give."""
    return {tuple(sampler.train(num_frames).tolist()) for _ in range(count)}


# (frames, stride, frames of the video, clips) -> one row a clip
TEST_CLIPS = {
    ("random", 4, 1, 10, 1): [[3, 4, 5, 6]],
    ("random", 4, 1, 4, 1): [[0, 1, 2, 3]],
    ("random", 4, 1, 4, 2): [[0, 1, 2, 3], [0, 1, 2, 3]],
    ("random", 4, 2, 10, 1): [[1, 3, 5, 7]],
    ("random", 4, 1, 10, 3): [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]],
    ("random", 3, 3, 12, 4): [[0, 3, 6], [1, 4, 7], [3, 6, 9], [5, 8, 11]],
    ("uniform", 4, 1, 8, 1): [[1, 3, 5, 7]],
    ("uniform", 4, 1, 8, 2): [[0, 2, 4, 6], [1, 3, 5, 7]],
    ("uniform", 4, 1, 10, 1): [[1, 3, 6, 8]],
    ("uniform", 5, 1, 5, 3): [[0, 1, 2, 3, 4]] * 3,
    ("dense", 4, 1, 10, 1): [[1, 3, 5, 7]],  # 10 // 4: every second frame
    ("dense", 4, 1, 200, 1): [[75, 91, 107, 123]],  # 64 // 4: every 16th
    ("dense", 16, 1, 70, 2): [list(range(0, 64, 4)), list(range(9, 70, 4))],
    ("dense", 4, 1, 5, 2): [[0, 1, 2, 3], [1, 2, 3, 4]],
}


@pytest.mark.parametrize(("case", "table"), TEST_CLIPS.items())
def test_test_clips(case, table):
    sampling, frames, stride, num_frames, clips = case
    sampler = ClipSampler(frames, stride, sampling)
    assert sampler.test(num_frames, clips).tolist() == table


SHORT = {
    ("random", "loop", 6, 1, 4): [0, 1, 2, 3, 0, 1],
    ("random", "last", 6, 1, 4): [0, 1, 2, 3, 3, 3],
    ("random", "loop", 3, 4, 5): [0, 4, 3],
    ("random", "last", 3, 4, 5): [0, 4, 4],
    ("dense", "loop", 6, 1, 4): [0, 1, 2, 3, 0, 1],
    ("dense", "last", 6, 1, 1): [0, 0, 0, 0, 0, 0],
}


@pytest.mark.parametrize(("case", "clip"), SHORT.items())
def test_short_videos_are_made_longer(case, clip):
    sampling, short_clips, frames, stride, num_frames = case
    sampler = ClipSampler(frames, stride, sampling, short_clips)
    assert sampler.test(num_frames, 2).tolist() == [clip, clip]
    assert sampler.train(num_frames).tolist() == clip


@pytest.mark.parametrize("short_clips", ["loop", "last"])
def test_uniform_clips_spread_a_short_video(short_clips):
    sampler = ClipSampler(6, 1, "uniform", short_clips)
    assert sampler.test(4, 2).tolist() == [[0, 0, 1, 2, 2, 3], [0, 1, 1, 2, 3, 3]]
    assert sampler.test(1).tolist() == [[0] * 6]


def test_random_clips_have_every_start():
    assert seeds(ClipSampler(3, 2), 8) == {(s, s + 2, s + 4) for s in range(4)}


def test_dense_clips_have_every_start():
    assert seeds(ClipSampler(3, sampling="dense"), 8) == {(s, s + 2, s + 4) for s in range(4)}


def test_uniform_clips_step_evenly_through_the_whole_video():
    assert seeds(ClipSampler(4, sampling="uniform"), 8) == {(0, 2, 4, 6), (1, 3, 5, 7)}


def test_uniform_clips_of_a_part():
    sampler = ClipSampler(4, sampling="uniform", part=(0.5, 0.5))
    clips = seeds(sampler, 16, 1000)
    assert {clip[0] for clip in clips} == set(range(10))
    assert {b - a for clip in clips for a, b in zip(clip, clip[1:])} == {2}
    assert sampler.test(16).tolist() == [[2, 6, 10, 14]]  # a test clip is the whole video


def test_a_clip_follows_from_the_generator():
    sampler = ClipSampler(4)
    state = torch.get_rng_state()
    first = [sampler.train(100).tolist() for _ in range(3)]
    torch.set_rng_state(state)
    assert [sampler.train(100).tolist() for _ in range(3)] == first
    assert len({tuple(clip) for clip in first}) == 3


def test_indices_stay_in_the_video():
    for sampling in ("random", "uniform", "dense"):
        for num_frames in range(4, 90):
            sampler = ClipSampler(4, sampling=sampling)
            for clip in (sampler.train(num_frames), sampler.test(num_frames, 3).flatten()):
                assert 0 <= clip.min() and clip.max() < num_frames


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "data.frames=0"),
        ({"frames": 4, "stride": 0}, "data.stride=0"),
        ({"frames": 4, "sampling": "even"}, "data.sampling='even': choose one of random, uniform"),
        ({"frames": 4, "short_clips": "pad"}, "data.short_clips='pad': choose one of error, loop"),
        ({"frames": 4, "stride": 2, "sampling": "uniform"}, "data.stride=2: sampling='uniform'"),
        ({"frames": 4, "sampling": "uniform", "part": (0.8, 0.5)}, r"data.part=\(0.8, 0.5\)"),
        ({"frames": 4, "part": (0.5, 1.0)}, "goes with data.sampling=uniform only"),
    ],
)
def test_misuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClipSampler(**arguments)


@pytest.mark.parametrize("sampling", ["random", "uniform", "dense"])
def test_short_video_is_an_error_that_names_the_way_out(sampling):
    sampler = ClipSampler(8, sampling=sampling)
    for draw in (sampler.train, sampler.test):
        with pytest.raises(
            ValueError, match="7 frames, but data.frames=8 at data.stride=1 needs 8"
        ):
            draw(7)
        with pytest.raises(ValueError, match="set data.short_clips to loop or last"):
            draw(7)


@pytest.mark.parametrize("sampling", ["random", "uniform", "dense"])
def test_clips_of_several_numbers_stand_one_set_behind_the_other(sampling):
    sampler = ClipSampler(4, sampling=sampling)
    both = sampler.test(30, (1, 3))
    assert both.shape == (4, 4)
    assert torch.equal(both[:1], sampler.test(30, 1))
    assert torch.equal(both[1:], sampler.test(30, 3))
