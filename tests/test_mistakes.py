"""Configurations with one mistake each: one line that says which, by the key's full name.

The first line of each is the key as the error has it, the second words that the error has to have.
"""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from train import main
from videowino import cli
from videowino.data.synthetic import write_video

REPOSITORY = Path(__file__).parents[1]
FILES = sorted((REPOSITORY / "tests" / "mistakes").glob("*.yaml"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two classes of three clips, where the configurations look for them."""
    place = tmp_path_factory.mktemp("mistakes")
    lists = {"train": "", "test": ""}
    for label, name in enumerate(("Bright", "Dark"), start=1):
        (place / "clips" / "videos" / name).mkdir(parents=True)
        for group in (1, 2, 3):
            clip = f"{name}/v_{name}_g{group:02d}_c01.avi"
            frames = np.full((6, 24, 32, 3), 100 * label, np.uint8)
            write_video(place / "clips" / "videos" / clip, frames)
            lists["train" if group < 3 else "test"] += f"{clip} {label}\n"
    splits = place / "clips" / "splits"
    splits.mkdir()
    (splits / "classInd.txt").write_text("1 Bright\n2 Dark\n")
    for part, text in lists.items():
        (splits / f"{part}list01.txt").write_text(text)
    return place


@pytest.fixture
def like_a_process_of_its_own(monkeypatch, clips):
    monkeypatch.chdir(clips)
    threads = torch.get_num_threads()
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings():
        yield
    torch.set_num_threads(threads)


def command(file):
    named = re.search("^run:", file.read_text(), re.MULTILINE)
    return ["fit", "--config", str(file), *([] if named else ["--run", f"runs/{file.stem}"])]


def check(file, code, said):
    key, words = (line.removeprefix("# ") for line in file.read_text().splitlines()[:2])
    assert code == 2
    assert said.startswith("error: ") and said.count("\n") == 1 and said.endswith("\n"), said
    assert re.search(rf"(^|[^\w.]){re.escape(key)}($|[^\w])", said), said
    assert words in said, said
    assert "Traceback" not in said and "Namespace(" not in said


def test_there_are_many():
    assert len(FILES) >= 100


@pytest.mark.usefixtures("like_a_process_of_its_own")
@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_mistake_is_one_line_with_its_full_name(file, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", *command(file)])
    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    check(file, ended.value.code, capsys.readouterr().err)
    assert not Path("runs", file.stem).exists()


@pytest.mark.parametrize("name", ["rank_zero", "bracket_left_open"])
def test_in_a_process_of_its_own(name, clips):
    file = REPOSITORY / "tests" / "mistakes" / f"{name}.yaml"
    program = [sys.executable, str(REPOSITORY / "train.py")]
    done = subprocess.run([*program, *command(file)], cwd=clips, capture_output=True, text=True)
    check(file, done.returncode, done.stderr)
