import json
import os

import pytest

from videowino.preparing.verify.cache import ScanCache
from videowino.preparing.verify.scan import Scan

FOUND = Scan("corrupt", "broken", 3, 9, 1, 64, 48, [("odd name", "")], "ab", "cd")


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "a.avi"
    path.write_bytes(b"clip")
    return path


def test_a_scan_comes_back_as_it_was(tmp_path, clip):
    file = tmp_path / "lists" / "cache"
    with ScanCache(file) as cache:
        assert cache.get("a.avi", clip, 60) is None
        cache.put("a.avi", clip, FOUND, 60)
        assert cache.get("a.avi", clip, 60) == FOUND
    with ScanCache(file) as cache:
        assert cache.get("a.avi", clip, 60) == FOUND
        assert cache.get("b.avi", clip, 60) is None
    with ScanCache(file, fresh=True) as cache:
        assert cache.get("a.avi", clip, 60) is None


def test_a_changed_file_is_another(tmp_path, clip):
    with ScanCache(tmp_path / "cache") as cache:
        cache.put("a.avi", clip, FOUND, 60)
        clip.write_bytes(b"longer clip")
        assert cache.get("a.avi", clip, 60) is None
        cache.put("a.avi", clip, FOUND, 60)
        os.utime(clip, ns=(1, 1))
        assert cache.get("a.avi", clip, 60) is None


def test_each_scan_is_written_at_once_and_half_a_line_is_left_out(tmp_path, clip):
    file = tmp_path / "cache"
    cache = ScanCache(file)
    cache.put("a.avi", clip, FOUND, 60)
    cache.put("b.avi", clip, FOUND, 60)
    content = file.read_bytes()  # as a process leaves it that was killed here
    file.write_bytes(content[:-20])
    with ScanCache(file) as again:
        assert again.get("a.avi", clip, 60) == FOUND
        assert again.get("b.avi", clip, 60) is None
        again.put("b.avi", clip, FOUND, 60)
    with ScanCache(file) as again:
        assert again.get("b.avi", clip, 60) == FOUND


def test_what_another_version_found_is_found_again(tmp_path, clip):
    file = tmp_path / "cache"
    with ScanCache(file) as cache:
        cache.put("a.avi", clip, FOUND, 60)
    lines = file.read_text().splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), "PyAV": "0.1"})
    file.write_text("\n".join(lines) + "\n")
    with ScanCache(file) as cache:
        assert cache.get("a.avi", clip, 60) is None


def test_a_hang_is_tried_again_with_more_time_and_a_crash_always(tmp_path, clip):
    with ScanCache(tmp_path / "cache") as cache:
        cache.put("a.avi", clip, Scan("timeout", "no progress in 5 s"), 5)
        cache.put("b.avi", clip, Scan("crash", "by SIGKILL"), 5)
        assert cache.get("a.avi", clip, 5).kind == "timeout"
        assert cache.get("a.avi", clip, 6) is None
        assert cache.get("b.avi", clip, 5) is None


def test_a_folder_that_is_no_cache(tmp_path):
    file = tmp_path / "cache"
    file.write_bytes(b"\xff\xfe something else\n")
    with ScanCache(file) as cache:
        assert cache.get("a.avi", file, 60) is None
