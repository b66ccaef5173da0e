"""What files say of themselves."""

import numpy as np
import pytest
import torch

from tests.data.decoding.conftest import needs_torchcodec
from tests.data.odd_videos import counting, rotate, write
from videowino.data.decoding import DecoderError, open_video
from videowino.data.decoding.header import read_header

# Corners of what is stored: 10 90 / 170 250. By display matrix: mirrored, turns, what is seen.
STORED = [[10, 90], [170, 250]]
SEEN = {
    (1, 0, 0, 1): (False, 0, STORED),
    (0, 1, -1, 0): (False, 3, [[170, 10], [250, 90]]),  # a quarter clockwise
    (-1, 0, 0, -1): (False, 2, [[250, 170], [90, 10]]),
    (0, -1, 1, 0): (False, 1, [[90, 250], [10, 170]]),
    (-1, 0, 0, 1): (True, 0, [[90, 10], [250, 170]]),  # as mirrors show
    (1, 0, 0, -1): (True, 2, [[170, 250], [10, 90]]),
    (0, 1, 1, 0): (True, 1, [[10, 170], [90, 250]]),
    (0, -1, -1, 0): (True, 3, [[250, 90], [170, 10]]),
}


@pytest.fixture(params=SEEN, ids=str)
def turned(request, tmp_path):
    video = np.kron(np.array(STORED, np.uint8), np.ones((24, 32), np.uint8))
    video = np.broadcast_to(video[None, :, :, None], (4, 48, 64, 3))
    return rotate(write(tmp_path / "turned.mp4", video), request.param), SEEN[request.param]


def corners(frames):
    height, width = frames.shape[-2:]
    pixels = frames[0, 0, height // 4 :: height // 2, width // 4 :: width // 2]
    return pixels.int()


def test_pictures_are_upright(turned):
    path, (mirrored, turns, seen) = turned
    header = read_header(path)
    assert (header.mirrored, header.turns) == (mirrored, turns)
    assert header.upright == (seen == STORED)
    frames = open_video(path).get_frames([2])
    assert frames.shape[-2:] == ((64, 48) if turns % 2 else (48, 64))
    assert (corners(frames) - torch.tensor(seen)).abs().max() <= 2


@pytest.mark.parametrize("decoder", ["decord", pytest.param("torchcodec", marks=needs_torchcodec)])
def test_other_decoders_see_the_same_or_refuse(turned, decoder):
    path, (mirrored, turns, seen) = turned
    if mirrored or (turns and decoder == "decord"):
        with pytest.raises(DecoderError, match=f"{decoder} cannot read single frames of it"):
            open_video(path, decoder)
        return
    assert (
        corners(open_video(path, decoder).get_frames([2])) - torch.tensor(seen)
    ).abs().max() <= 2


@pytest.mark.parametrize(
    ("name", "container", "timed", "indexed"),
    [
        ("clip.mp4", "mov", True, True),
        ("clip.mkv", "matroska", True, True),
        ("clip.avi", "avi", False, True),
        ("clip.ts", "mpegts", False, False),
    ],
)
def test_containers(tmp_path, name, container, timed, indexed):
    header = read_header(write(tmp_path / name, counting()))
    assert (header.container, header.timed, header.indexed) == (container, timed, indexed)
    assert header.upright and header.frame_bytes == 48 * 64 * 3
