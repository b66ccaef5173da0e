import gc
import importlib.util
import multiprocessing

import av
import numpy as np
import pytest
import torch

from tests.data import odd_videos
from tests.data.conftest import frame_numbers, write_counting
from videowino.data.decoding import DecoderError, KeptVideo, open_video, opening
from videowino.data.decoding.packets import Packets
from videowino.data.decoding.pyav_reader import PyAVReader

BOTH = pytest.mark.parametrize("decoder", ["decord", "pyav"])


@BOTH
def test_frames_are_those_asked_for_in_their_order(counting, decoder):
    video = open_video(counting, decoder)
    assert video.num_frames == 12
    assert video.fps == 25
    frames = video.get_frames([7, 0, 11, 7])
    assert frames.shape == (4, 3, 24, 32)
    assert frames.dtype == torch.uint8
    assert frame_numbers(frames) == [7, 0, 11, 7]
    assert frame_numbers(video.get_frames(torch.tensor([3, 2]))) == [3, 2]


def test_kept_video_gives_the_same_frames(counting):
    video = open_video(counting)
    kept = KeptVideo(video)
    assert (kept.num_frames, kept.fps, kept.num_bytes) == (12, 25, 12 * 24 * 32 * 3)
    assert torch.equal(kept.get_frames([5, 1, 5]), video.get_frames([5, 1, 5]))


@BOTH
def test_indices_outside_the_video_are_an_error(counting, decoder):
    video = open_video(counting, decoder)
    for indices in ([12], [-1], []):
        with pytest.raises(IndexError, match=r"outside 0\.\.11"):
            video.get_frames(indices)


@pytest.mark.data
def test_packed_bitstreams_are_read_frame_by_frame(shared_data):
    """All of HMDB51 is so; decord gives a neighbour of the frame asked for."""
    paths = sorted((shared_data / "hmdb51" / "videos").rglob("*.avi"))
    assert len(paths) == 5
    for path in paths:
        video = open_video(path)
        with av.open(str(path)) as container:
            every = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert 0 <= video.num_frames - len(every) <= 1  # the last packet may show no frame
        indices = [2, 20, 21, video.num_frames - 1]
        wanted = [every[min(i, len(every) - 1)] for i in indices]
        got = video.get_frames(indices).permute(0, 2, 3, 1).numpy()
        assert np.array_equal(got, np.stack(wanted)), path
        with pytest.raises(DecoderError, match="decord cannot read single frames"):
            open_video(path, "decord")


def _audio(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.int16), "s16", "mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _no_frames(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        container.start_encoding()


def _patched(path, change):
    write_counting(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"movi") + 4
    path.write_bytes(change(data, start))


def _truncated(path):
    _patched(path, lambda data, start: data[: start + (len(data) - start) // 2])


def _header_alone(path):
    _patched(path, lambda data, start: data[: start // 2])


def _garbled(path):
    noise = np.random.default_rng(0).bytes(100_000)
    _patched(path, lambda data, start: data[:start] + noise[: len(data) - start])


BROKEN = {
    "empty": (lambda path: path.touch(), r"the file is empty \(0 bytes\)"),
    "text": (lambda path: path.write_text("not a video\n" * 99), "not a readable video file"),
    "header_alone": (_header_alone, "not a readable video file"),
    "audio": (_audio, r"no video stream in the file \(audio only\?\)"),
    "no_frames": (_no_frames, "no frame can be decoded"),
    "garbled": (_garbled, "no frame can be decoded|corrupt|truncated"),
    "truncated": (_truncated, "truncated: its header declares 12 frames, the file holds [4-8]"),
}


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file_is_one_clear_line(tmp_path, kind, decoder):
    make, reason = BROKEN[kind]
    path = tmp_path / f"{kind}.avi"
    make(path)
    with pytest.raises(ValueError, match=f"{kind}.avi: ({reason})") as caught:
        open_video(path, decoder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file_under_decord_alone(tmp_path, kind):
    make, _ = BROKEN[kind]
    path = tmp_path / f"{kind}.avi"
    make(path)
    with pytest.raises(ValueError, match=f"{kind}.avi: "):
        open_video(path, "decord")


def test_damage_behind_the_first_frames_shows_when_they_are_read(tmp_path):
    path = tmp_path / "holes.avi"

    def blank_most_frames(data, start):
        """Headers of the chunks stay, so that all packets are there, without pictures."""
        place, count = start, 0
        while data[place : place + 4] == b"00dc":
            size = int.from_bytes(data[place + 4 : place + 8], "little")
            if count >= 3:
                data[place + 8 : place + 8 + size] = bytes(size)
            place += 8 + size + size % 2
            count += 1
        return data

    _patched(path, blank_most_frames)
    video = open_video(path, "pyav")
    assert frame_numbers(video.get_frames([0, 2])) == [0, 2]
    with pytest.raises(ValueError, match=r"holes.avi: corrupt: (only|decoding stops after) 3"):
        video.get_frames([0, 8])


def test_a_tail_that_shows_no_frame_repeats_the_last(counting, monkeypatch):
    header = opening.read_header(counting)
    monkeypatch.setattr(opening, "read_header", lambda _: header._replace(frames=13))
    video = open_video(counting)
    assert isinstance(video, PyAVReader)  # the counts differ: decord is not asked
    video.num_frames = 14
    video._packets = Packets(14, [], [])
    assert frame_numbers(video.get_frames([11, 12, 13])) == [11, 11, 11]


def test_pyav_takes_over_where_decord_fails(counting, monkeypatch):
    import decord

    def fail(*_):
        raise decord.DECORDError("failed")

    video = open_video(counting, "decord")
    monkeypatch.setattr(decord.VideoReader, "get_batch", fail)
    assert frame_numbers(video.get_frames([4, 2])) == [4, 2]


def test_without_decord(counting, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert frame_numbers(open_video(counting).get_frames([9])) == [9]
    with pytest.raises(DecoderError, match="data.decoder='decord': not installed"):
        open_video(counting, "decord")


def test_misuse(tmp_path, counting):
    with pytest.raises(FileNotFoundError, match="absent.avi: no such video file"):
        open_video(tmp_path / "absent.avi")
    with pytest.raises(ValueError, match="data.decoder='ffmpeg': choose one of auto, decord, pyav"):
        open_video(counting, "ffmpeg")


def test_pyav_goes_on_where_it_is(tmp_path, monkeypatch):
    """Windows of a long video are decoded once, not from its only key frame each."""
    reader = open_video(
        odd_videos.write(tmp_path / "one_key.avi", odd_videos.counting(12), gop=100), "pyav"
    )
    starts: list[int] = []
    decode = reader._decode
    monkeypatch.setattr(reader, "_decode", lambda: starts.append(1) or decode())
    assert frame_numbers(reader.get_frames([0, 2])) == [0, 2]
    assert frame_numbers(reader.get_frames([3, 5])) == [3, 5]
    assert frame_numbers(reader.get_frames([11])) == [11]
    assert len(starts) == 1
    assert frame_numbers(reader.get_frames([11])) == [11]
    assert frame_numbers(reader.get_frames([4, 4])) == [4, 4]
    assert len(starts) == 3


def test_a_forgotten_reader_does_not_end_a_forked_process(counting):
    """As DataLoader's workers are, in a process that has looked at videos before."""
    gc.disable()
    try:
        reader = open_video(counting, "decord")
        reader.itself = reader
        del reader
        child = multiprocessing.get_context("fork").Process(target=gc.collect)
        child.start()
        child.join(timeout=20)
    finally:
        child.kill()
        gc.enable()
    assert child.exitcode == 0
