"""What is remembered of a file is forgotten when it changes."""

import os

from videowino.data.decoding.remember import remembered


def test_read_once_until_it_changes(tmp_path):
    path, times = tmp_path / "file", []
    read = remembered(lambda path: times.append(1) or path.read_text())
    path.write_text("one")
    assert [read(path), read(path)] == ["one", "one"] and len(times) == 1
    path.write_text("three")
    assert read(path) == "three" and len(times) == 2


def test_another_file_under_the_same_name(tmp_path):
    """Of the same size, written within the same tick of the clock, as files in memory may be."""
    path, other = tmp_path / "file", tmp_path / "other"
    read = remembered(lambda path: path.read_text())
    path.write_text("one")
    other.write_text("two")
    for file in (path, other):
        os.utime(file, ns=(5, 5))
    assert read(path) == "one"
    os.replace(other, path)
    assert read(path) == "two"
