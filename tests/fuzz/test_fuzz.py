"""Each reader's fuzzer over a few files, and that fuzzers find what is wrong."""

import contextlib
import random
import signal
import time

import pytest

from fuzz import worker
from fuzz.__main__ import fuzz, main
from fuzz.mutate import change_bytes, change_lines, change_value
from fuzz.readers import READERS
from fuzz.readers.deployed import DeployedModels


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(READERS))
def test_a_few_files_in_a_process_of_its_own(name, tmp_path):
    row = fuzz(name, 60, 0, tmp_path, "random")
    assert row["files"] == 60 and row["findings"] == 0
    assert row["read"] + row["refused"] == 60


@pytest.mark.parametrize("name", sorted(READERS))
def test_its_seeds_are_read_and_no_two_files_are_the_same(name, tmp_path):
    reader = READERS[name]()
    seeds = reader.seeds()
    found = {reader.mutate(seeds[0], random.Random(n)) for n in range(20)}
    assert len(found) > 10
    again = {reader.mutate(seeds[0], random.Random(n)) for n in range(20)}
    if name not in ("checkpoints", "deployed"):  # which hold the time, and no order
        assert found == again
    path = tmp_path / f"x{reader.suffix}"
    path.write_bytes(seeds[0])
    if name == "configs":  # of clips that may not be rendered here
        with contextlib.suppress(FileNotFoundError):
            worker._quietly(reader.read, path)
    elif name != "checkpoints":  # refused as bare weights by one reader, taken by the others
        worker._quietly(reader.read, path)


class Planted:
    suffix = ".txt"

    def seeds(self):
        return [b"one two"]

    def mutate(self, data, chance):
        return chance.choice((b"fine", b"refused", b"wrong", b"slow", b"large"))

    def read(self, path):
        text = path.read_text()
        if text == "refused":
            raise ValueError("bad input")
        if text == "wrong":
            raise KeyError("planted")
        if text == "slow":
            time.sleep(60)
        if text == "large":
            raise MemoryError


def test_what_is_wrong_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(READERS, "planted", Planted)
    monkeypatch.setattr(worker, "HANG", 0.05)
    monkeypatch.setattr(worker.resource, "setrlimit", lambda *_: None)
    arguments = ["planted", "0", "40", "0", str(tmp_path), "random"]
    monkeypatch.setattr(worker.sys, "argv", ["worker", *arguments])
    before = signal.getsignal(signal.SIGALRM)
    try:
        worker.main()
    finally:
        signal.signal(signal.SIGALRM, before)
    found = {file.read_bytes() for file in tmp_path.glob("finding*[0-9].txt") if file.suffix}
    told = " ".join(file.read_text() for file in tmp_path.glob("finding*.txt"))
    assert "KeyError" in told and "longer than 0.05 s" in told and "MemoryError" in told
    assert found


def test_changes_follow_from_chance_alone():
    for change in (change_bytes, change_lines):
        files = [change(b"a list\nof words\n", random.Random(seed)) for seed in range(50)]
        assert files == [change(b"a list\nof words\n", random.Random(seed)) for seed in range(50)]
        assert len(set(files)) > 20
    value = {"a": [1, {"b": "text"}], "c": 0.5}
    changed = [change_value(value, random.Random(seed)) for seed in range(50)]
    assert value == {"a": [1, {"b": "text"}], "c": 0.5}
    assert sum(one != value for one in changed) > 40


def test_a_sealed_file_gets_past_the_digest(tmp_path):
    reader = DeployedModels()
    (plain, _), refusals = reader.seeds(), []
    path = tmp_path / "x.vwino"
    for seed in range(40):
        path.write_bytes(reader.mutate(plain, random.Random(seed)))
        try:
            reader.read(path)
        except ValueError as error:
            refusals.append(str(error))
    assert any("holds a network that" in text for text in refusals)


def test_an_unknown_reader():
    with pytest.raises(ValueError, match="readers=none: unknown; choose from checkpoints, configs"):
        main(["none"])
