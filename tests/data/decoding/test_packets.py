"""Where decoding begins, and how much of a file is decoded."""

import itertools

import av
import numpy as np
import pytest
import torch

from tests.data.conftest import frame_numbers
from tests.data.odd_videos import FRAMES, counting, uneven_times, write
from videowino.data.decoding.header import read_header
from videowino.data.decoding.packets import Packets, read_packets
from videowino.data.decoding.pyav_reader import PyAVReader

FILES = {
    "keys.avi": {"gop": 6},
    "one_key.avi": {"gop": 100},
    "b_frames.avi": {"gop": 6, "b_frames": 2},
    "b_frames.mp4": {"gop": 6, "b_frames": 2},
    "b_frames.mkv": {"gop": 6, "b_frames": 2},
    "open_gop.mp4": {"gop": 6, "b_frames": 2, "codec": "mpeg2video"},
    "uneven.mp4": {"gop": 6, "times": uneven_times()},
}


@pytest.fixture(params=FILES)
def path(request, tmp_path):
    return write(tmp_path / request.param, counting(), **FILES[request.param])


def every_frame(path):
    with av.open(str(path)) as container:
        return torch.from_numpy(
            np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
        ).permute(0, 3, 1, 2)


def test_sought_frames_are_those_of_the_whole_video(path):
    every = every_frame(path)
    reader = PyAVReader(path, read_header(path))
    assert reader.num_frames == len(every)
    generator = torch.Generator().manual_seed(0)
    for count in (1, 1, 2, 3, 5, 8) * 4:
        indices = torch.randint(len(every), (count,), generator=generator)
        assert torch.equal(reader.get_frames(indices), every[indices])
    last = len(every) - 1
    for indices in ([last], [0], [last, 0, last], [11, 12], range(last + 1)):
        assert torch.equal(reader.get_frames(list(indices)), every[list(indices)])


def test_only_the_frames_needed_are_decoded(tmp_path):
    path = write(tmp_path / "keys.avi", counting(), gop=6)
    reader = PyAVReader(path, read_header(path))
    assert frame_numbers(reader.get_frames([20])) == [20]
    assert reader.decoded == 3  # 18 is the key frame
    assert frame_numbers(reader.get_frames([7, 13, 14])) == [7, 13, 14]
    assert reader.decoded == 3 + 2 + 3
    assert frame_numbers(reader.get_frames([1])) == [1]
    assert reader.decoded == 8 + 2  # and none behind it
    assert frame_numbers(reader.get_frames([3])) == [3]
    assert reader.decoded == 10 + 2  # going on from there is less than from the key frame


@pytest.mark.parametrize(
    ("wanted", "frames"),
    [([0], 1), ([5], 6), ([6], 1), ([11, 12], 7), ([2, 20], 3 + 3), ([6, 7, 8], 3)],
)
def test_frames_to_decode(wanted, frames):
    packets = Packets(24, list(range(24)), [0, 6, 12, 18])
    assert packets.frames_to_decode(wanted) == frames


def test_files_that_do_not_tell_when_frames_are_shown(tmp_path):
    path = write(tmp_path / "b_frames.avi", counting(), gop=6, b_frames=2)
    packets = read_packets(path)
    assert packets.count == FRAMES and packets.times == []
    assert len(read_packets(write(tmp_path / "keys.avi", counting(), gop=6)).starts) == 4


def test_frames_that_are_not_where_they_should_be_are_counted_from_the_start(tmp_path):
    path = write(tmp_path / "keys.avi", counting(), gop=6)
    lies = Packets(FRAMES, [2 * i for i in range(FRAMES)], [0, 6, 12, 18])
    reader = PyAVReader(path, read_header(path), lies)
    assert frame_numbers(reader.get_frames([20, 7])) == [20, 7]


@pytest.mark.data
def test_real_files(shared_data):
    folders = [shared_data / name / "videos" for name in ("ucf101", "hmdb51")]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.avi"))]
    paths += sorted((shared_data / "survfight" / "videos").rglob("*.avi"))[::60]
    paths += sorted((shared_data / "avletters" / "videos").rglob("*.mp4"))[::130]
    assert len(paths) == 20
    generator = torch.Generator().manual_seed(0)
    for path in paths:
        every = every_frame(path)
        reader = PyAVReader(path, read_header(path))
        assert 0 <= reader.num_frames - len(every) <= 1
        draws = [torch.randint(len(every), (n,), generator=generator) for n in (1, 2, 5, 16)]
        for indices in itertools.chain(draws, ([0], [len(every) - 1], [len(every) - 2, 3])):
            assert torch.equal(reader.get_frames(indices), every[indices]), path
