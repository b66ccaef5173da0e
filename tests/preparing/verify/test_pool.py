"""The functions that work are files of their own: other processes import them by name."""

import importlib
import os
import sys
import time

import pytest

from videowino.preparing.verify.pool import Failure, each

WORK = """
import os, signal, time

def name(path, alive):
    return os.path.basename(path).upper()

def by_name(path, alive):
    what = os.path.basename(path)
    if what.startswith("hang"):
        time.sleep(1000)
    if what.startswith("deaf"):  # as a decoder in C that nothing interrupts but the system
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        while True:
            pass
    if what.startswith("die"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if what.startswith("exit"):
        os._exit(3)
    if what.startswith("raise"):
        raise MemoryError("no room")
    if what.startswith("slow"):
        for _ in range(15):
            time.sleep(0.2)
            alive()
    return what

def process(path, alive):
    time.sleep(0.05)
    return os.getpid()
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / "work_of_pool.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    module = importlib.import_module("work_of_pool")
    yield module
    sys.modules.pop("work_of_pool")


def test_each_path_once(work):
    paths = [f"/clips/{number}.avi" for number in range(20)]
    found = list(each(work.name, paths, 3, 30))
    assert sorted(found) == sorted((path, os.path.basename(path).upper()) for path in paths)


def test_no_paths(work):
    assert list(each(work.name, [], 3, 30)) == []


def test_so_many_processes_do_it(work):
    found = [pid for _, pid in each(work.process, map(str, range(12)), 2, 30)]
    assert len(set(found)) == 2
    assert os.getpid() not in found


def test_a_hang_or_a_crash_costs_one_file(work):
    paths = ["one", "hang", "two", "die", "exit", "raise", "deaf", "three", "four"]
    start = time.monotonic()
    found = dict(each(work.by_name, paths, 2, 1.0))
    assert time.monotonic() - start < 60
    for name in ("one", "two", "three", "four"):
        assert found.pop(name) == name
    assert found.pop("hang") == found.pop("deaf") == Failure("timeout", "no progress in 1 s")
    assert found.pop("die") == Failure("crash", "the decoding process ended by SIGSEGV")
    assert found.pop("exit") == Failure("crash", "the decoding process ended with exit code 3")
    assert found["raise"].kind == "crash"
    assert found["raise"].detail.startswith("MemoryError: no room (work_of_pool.py:")


def test_progress_is_no_hang(work):
    """It takes three seconds, thrice the limit, but tells that it goes on."""
    assert list(each(work.by_name, ["slow"], 1, 1.0)) == [("slow", "slow")]


def test_nothing_is_left_running(work):
    found = each(work.process, map(str, range(50)), 2, 30)
    pid = next(found)[1]
    found.close()
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.05)


def test_a_process_that_cannot_start_is_an_error_of_its_own(work, tmp_path):
    (tmp_path / "work_of_pool.py").write_text("raise SystemExit(7)")
    with pytest.raises(RuntimeError, match="did not start: it ended with exit code"):
        list(each(work.name, ["one"], 1, 30))
