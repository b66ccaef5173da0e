import os

import av
import pytest

from tests.data.conftest import frame_numbers, write_counting
from videowino.data.decoding import open_video
from videowino.data.decoding.remember import remembered


def test_a_file_is_read_once_until_it_changes(tmp_path):
    path, seen = tmp_path / "notes", []

    @remembered
    def read(path):
        seen.append(path.read_text())
        return seen[-1]

    path.write_text("one")
    assert [read(path), read(path), len(seen)] == ["one", "one", 1]
    path.write_text("two")
    os.utime(path, ns=(0, 1))
    assert [read(path), len(seen)] == ["two", 2]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read(path)


def test_errors_are_not_remembered(tmp_path):
    path, answers = tmp_path / "notes", [None, "there"]

    @remembered
    def read(path):
        answer = answers.pop(0)
        if answer is None:
            raise ValueError("not yet")
        return answer

    path.touch()
    with pytest.raises(ValueError, match="not yet"):
        read(path)
    assert read(path) == "there"


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
def test_opening_a_video_again_reads_its_frames_alone(tmp_path, monkeypatch, decoder):
    path = write_counting(tmp_path / "counting.avi")
    assert frame_numbers(open_video(path, decoder).get_frames([2, 7])) == [2, 7]
    opened, real = [], av.open
    monkeypatch.setattr(
        av, "open", lambda *args, **more: opened.append(args) or real(*args, **more)
    )
    assert frame_numbers(open_video(path, decoder).get_frames([3, 5])) == [3, 5]
    assert len(opened) == 1


def test_a_video_written_anew_is_read_anew(tmp_path):
    path = write_counting(tmp_path / "counting.avi", frames=12)
    assert open_video(path).num_frames == 12
    write_counting(path, frames=7)
    for decoder in ("auto", "pyav"):
        assert open_video(path, decoder).num_frames == 7


def test_another_file_under_the_same_name(tmp_path):
    """Of the same size, and of the same time, as copies keep it."""
    path, other = tmp_path / "notes", tmp_path / "other"
    read = remembered(lambda path: path.read_text())
    path.write_text("one")
    other.write_text("two")
    for file in (path, other):
        os.utime(file, ns=(5, 5))
    assert read(path) == "one"
    os.replace(other, path)
    assert read(path) == "two"
