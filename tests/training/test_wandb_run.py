"""What a configured WandbLogger is told of the run folder."""

import pytest
from jsonargparse import Namespace

from videowino.training.wandb_run import settle_wandb

pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("WANDB_NAME", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def options(**given):
    return Namespace({"save_dir": ".", "name": None, "id": None, "version": None} | given)


def kept(folder, *names):
    for name in names:
        (folder / "wandb" / name).mkdir(parents=True)


def test_a_run_is_named_after_its_folder_and_lies_in_it(tmp_path):
    kept(tmp_path / "half", "offline-run-20260102_030405-old")  # of one that was started before
    logger = options()
    settle_wandb(logger, tmp_path / "half", goes_on=False)
    assert (logger.save_dir, logger.name, logger.id) == (str(tmp_path / "half"), "half", None)


def test_a_run_that_goes_on_is_the_last_one_of_its_folder(tmp_path):
    kept(tmp_path, "offline-run-20260102_030405-b-1", "run-20260203_040506-run-2", "latest-run")
    logger = options()
    settle_wandb(logger, tmp_path, goes_on=True)
    assert logger.id == "run-2"
    settle_wandb(logger := options(), tmp_path / "none", goes_on=True)
    assert logger.id is None


def test_what_was_asked_for_stays(tmp_path, monkeypatch):
    kept(tmp_path, "offline-run-20260102_030405-abc")
    mine = {"save_dir": "else", "name": "mine", "id": "me"}
    settle_wandb(logger := options(**mine), tmp_path, goes_on=True)
    assert {key: logger[key] for key in mine} == mine
    monkeypatch.setenv("WANDB_NAME", "from outside")
    monkeypatch.setenv("WANDB_RUN_ID", "xyz")
    settle_wandb(logger := options(), tmp_path, goes_on=True)
    assert logger.name is None and logger.id is None
