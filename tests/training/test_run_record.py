import json
import subprocess

import torch

from videowino.training.run_record import RECORD, commands_of, commits, record_start


def git(folder, *args):
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    command = ["git", "-C", str(folder), *identity, *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_each_start_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", "ignored"])
    record_start(tmp_path, ["fit", "--run", "a b"], 3, goes_on=False)
    record_start(tmp_path, ["fit", "--ckpt_path", "last"], False, goes_on=True)
    first, second = json.loads((tmp_path / RECORD).read_text())
    assert first["command"] == "python train.py fit --run 'a b'"
    assert second["command"] == "python train.py fit --ckpt_path last"
    assert (first["seed"], second["seed"]) == (3, None)
    assert first["versions"]["torch"] == torch.__version__
    assert first["measured_at"] and first["threads"] >= 1
    assert commands_of(tmp_path) == [first["command"], second["command"]]
    assert commands_of(tmp_path / "none") == []
    record_start(tmp_path, ["fit"], 4, goes_on=False)  # a new run in the same folder
    (only,) = json.loads((tmp_path / RECORD).read_text())
    assert only["seed"] == 4
    assert [path.name for path in tmp_path.iterdir()] == [RECORD]


def test_the_commit_that_ran(tmp_path):
    project = tmp_path / "project"
    (project / "deep").mkdir(parents=True)
    git(tmp_path, "init", "-q", str(project))
    assert commits(project) == {"project": "no commit yet"}
    (project / "a").write_text("1")
    git(project, "add", "a")
    git(project, "commit", "-qm", "one")
    head = git(project, "rev-parse", "HEAD")
    (project / "new").write_text("untracked files change nothing that ran")
    assert commits(project / "deep", project) == {"project": head}
    (project / "a").write_text("2")
    assert commits(project) == {"project": f"{head}+"}


def test_without_git_nothing_is_said(tmp_path, monkeypatch):
    assert commits(tmp_path) == {}
    monkeypatch.setenv("PATH", "")
    assert commits(tmp_path) == {}


def test_a_record_of_something_else_is_none(tmp_path):
    for content in ("{", "[1]", "{}", "[{}]"):
        (tmp_path / RECORD).write_text(content)
        assert commands_of(tmp_path) == []
