"""Files that users' folders hold, by every decoder."""

import numpy as np
import pytest
import torch

from tests.data.conftest import frame_numbers
from tests.data.decoding.conftest import needs_torchcodec
from tests.data.odd_videos import BROKEN, FRAMES, NAMED, make_odd_videos, uneven_times
from videowino.data.decoding import DecoderError, KeptVideo, open_video, torchcodec_reader
from videowino.data.decoding.even_time import even_order

DECODERS = ["auto", "pyav", pytest.param("torchcodec", marks=needs_torchcodec)]
ALL = pytest.mark.parametrize("decoder", DECODERS)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    return make_odd_videos(tmp_path_factory.mktemp("odd"))


@ALL
@pytest.mark.parametrize("kind", ["good", "grey", *NAMED])
def test_good_files_that_look_unusual(odd, kind, decoder):
    video = open_video(odd[kind], decoder)
    assert video.num_frames == FRAMES and video.fps == 25
    frames = video.get_frames([20, 3, FRAMES - 1, 0, 3])
    assert frames.shape == (5, 3, 48, 64) and frames.dtype == torch.uint8
    assert frame_numbers(frames) == [20, 3, FRAMES - 1, 0, 3]


@ALL
@pytest.mark.parametrize(("kind", "count"), [("one_frame", 1), ("two_frames", 2), ("large", 6)])
def test_few_frames_and_large_ones(odd, kind, count, decoder):
    video = open_video(odd[kind], decoder)
    assert video.num_frames == count
    frames = video.get_frames(range(count))
    assert frame_numbers(frames) == list(range(count))
    assert frames.shape[-2:] == ((2160, 3840) if kind == "large" else (48, 64))


@ALL
@pytest.mark.parametrize("kind", [*BROKEN, "ten_times"])
def test_broken_files_are_one_clear_line(odd, kind, decoder):
    with pytest.raises(ValueError, match=rf"{kind}\.avi: ") as caught:
        open_video(odd[kind], decoder).get_frames([0])
    assert "\n" not in str(caught.value)


@ALL
def test_phone_video_is_upright(odd, decoder):
    """Stored 48x64 with the left half black; turned clockwise, that is the upper half of 64x48."""
    frames = open_video(odd["rotated"], decoder).get_frames([5, 20])
    assert frames.shape == (2, 3, 64, 48)
    assert frames[:, :, :31].float().mean() < 3
    assert frame_numbers(frames[:, :, 33:]) == [5, 20]


@ALL
def test_uneven_frames_are_taken_at_an_even_rate(odd, decoder):
    video = open_video(odd["variable_rate"], decoder)
    assert video.num_frames == FRAMES and video.fps == pytest.approx(23 / 1.8)
    times, step = np.array(uneven_times()), (uneven_times()[-1]) / (FRAMES - 1)
    shown = [int(np.flatnonzero(times <= i * step + 1e-6)[-1]) for i in range(FRAMES)]
    assert shown[:8] == [0, 1, 3, 5, 7, 9, 11, 12] and shown[-4:] == [21, 21, 22, 23]
    assert frame_numbers(video.get_frames(range(FRAMES))) == shown
    assert frame_numbers(KeptVideo(video).get_frames([23, 1])) == [shown[23], shown[1]]
    with pytest.raises(IndexError, match=r"outside 0\.\.23"):
        video.get_frames([24])


@pytest.mark.parametrize(
    ("times", "order"),
    [
        ([0, 1, 2, 3, 4], None),
        ([0, 33, 67, 100, 133], None),  # rounded
        ([0, 1, 2, 9, 10], [0, 2, 2, 2, 4]),
        ([5, 7], None),
    ],
)
def test_even_order(times, order):
    found = even_order(times)
    assert (None if found is None else found.tolist()) == order


def test_without_torchcodec(odd, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchcodec.decoders", None)
    with pytest.raises(
        DecoderError, match=r"data.decoder='torchcodec': cannot be loaded .*install"
    ):
        open_video(odd["good"], "torchcodec")
    assert "videowino[torchcodec]" in torchcodec_reader.INSTALL
