import json

import pytest

from benchmarks.once import digest, measured_once, once

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
