from pathlib import Path

import pytest

from videowino.files import replacing


def test_the_file_is_replaced_at_the_end(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("before")
    with replacing(file) as new:
        new.write_text("after")
        assert file.read_text() == "before"
    assert file.read_text() == "after" and list(tmp_path.iterdir()) == [file]


def test_and_stays_as_it_was_where_writing_fails(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("before")
    with pytest.raises(KeyboardInterrupt), replacing(file) as new:
        new.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text() == "before" and list(tmp_path.iterdir()) == [file]


def test_devices_are_written_to_and_stay(tmp_path):
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        with replacing(Path("/dev/full")) as new:
            new.write_text("text")
    assert Path("/dev/full").is_char_device()


def test_a_link_stays_one(tmp_path):
    file, link = tmp_path / "a.txt", tmp_path / "b.txt"
    link.symlink_to(file)
    with replacing(link) as new:
        new.write_text("text")
    assert link.is_symlink() and file.read_text() == "text"


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "no" / "a.txt") as new:
        new.write_text("text")
