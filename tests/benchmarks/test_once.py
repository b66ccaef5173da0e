import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.once import digest, measured_once, once, stopping

COUNT = "import sys; open(sys.argv[1], 'a').write('x')"


@pytest.fixture
def counted(tmp_path):
    """A command that leaves an x behind each time it runs, its marker, and a configuration."""
    config = tmp_path / "config.yaml"
    config.write_text("a")
    xs = tmp_path / "xs"
    return ["-c", COUNT, str(xs)], tmp_path / "run" / "finished", config, xs


def test_a_command_runs_once(counted):
    command, marker, config, xs = counted
    for _ in range(2):
        once(marker, command, configs=[config])
    assert xs.read_text() == "x"
    assert marker.read_text().endswith(f"configs {digest([config])}\n")


def test_an_outcome_of_something_else_is_refused_or_made_again(counted):
    command, marker, config, xs = counted
    once(marker, command, configs=[config])
    config.write_text("b")
    with pytest.raises(ValueError, match="run holds the outcome of another command or conf"):
        once(marker, command, configs=[config])
    assert xs.read_text() == "x"
    for _ in range(2):
        once(marker, command, configs=[config], again=True)
    assert xs.read_text() == "xx"


def test_a_command_that_fails_leaves_no_marker(counted):
    command, marker, config, xs = counted
    once(marker, command, configs=[config])
    with pytest.raises(ValueError, match=r"-c failed, see .*finished.log: ValueError: no data"):
        once(marker, ["-c", "raise ValueError('no data')"], again=True)
    assert not marker.exists()


SLEEP = "import time, pathlib, sys; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"


def wait_for(*paths):
    until = time.monotonic() + 30
    while not all(path.exists() for path in paths):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_commands_beside_one_that_fails_are_ended(tmp_path):
    began = [tmp_path / "0", tmp_path / "1"]

    def run(n):
        if n == 2:
            wait_for(*began)
            raise ValueError("no room")
        once(tmp_path / f"run{n}" / "finished", ["-c", SLEEP, str(began[n])])

    start = time.monotonic()
    with pytest.raises(ValueError, match="no room"), ThreadPoolExecutor(3) as pool, stopping():
        for task in [pool.submit(run, n) for n in (2, 0, 1)]:
            task.result()
    assert time.monotonic() - start < 45
    assert not list(tmp_path.glob("*/finished"))


def test_a_command_that_begins_while_others_are_ended_ends_too(tmp_path):
    with pytest.raises(ValueError, match="no room"), stopping():
        raise ValueError("no room")
    start = time.monotonic()
    with pytest.raises(ValueError, match="-c failed"):
        once(tmp_path / "run" / "finished", ["-c", SLEEP, str(tmp_path / "0")])
    assert time.monotonic() - start < 45
    with stopping():  # the next study begins anew
        once(tmp_path / "run" / "finished", ["-c", "pass"])


def test_to_be_terminated_is_to_be_interrupted(tmp_path):
    began, before = tmp_path / "0", signal.getsignal(signal.SIGTERM)

    def terminate():
        wait_for(began)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), ThreadPoolExecutor(2) as pool, stopping():
        task = pool.submit(once, tmp_path / "run" / "finished", ["-c", SLEEP, str(began)])
        pool.submit(terminate)
        task.result()
    assert "KeyboardInterrupt" in (tmp_path / "run" / "finished.log").read_text()
    assert signal.getsignal(signal.SIGTERM) == before


def test_figures_are_kept_as_long_as_they_are_of_the_same(tmp_path):
    file, calls = tmp_path / "figures.json", []

    def measure():
        calls.append(1)
        return {"n": len(calls)}

    assert measured_once(file, "a", measure) == measured_once(file, "a", measure) == {"n": 1}
    assert measured_once(file, "b", measure) == {"n": 2}
    file.write_text(json.dumps([{"of": "nothing"}]))  # what is no such file is measured anew
    assert measured_once(file, "b", measure) == {"n": 3}


def test_a_digest_is_of_contents_and_of_what_is_said(tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text("same")
    assert digest(files[:1]) == digest(files[1:]) != digest(files)
    assert digest(files, "test") != digest(files, "val") != digest(files)
