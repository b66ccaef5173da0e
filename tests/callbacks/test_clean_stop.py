import csv
import os
import signal
import stat
from contextlib import nullcontext

import pytest
import pytorch_lightning as pl
import torch

from videowino.callbacks import CleanStop, ColumnSparsity, EpochSeed
from videowino.training import WinogradConfig
from videowino.training.run_logger import RunLogger

VANILLA = WinogradConfig(parameterization="vanilla", include=["layer1*"])


class Kick(pl.Callback):
    """Signals to this very process, in the middle of a step."""

    def __init__(self, step, *numbers):
        self.step, self.numbers = step, numbers

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.step:
            for number in self.numbers:
                os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def no_job(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)


def test_the_last_step_is_logged_too(make_classifier, make_trainer, data, tmp_path):
    def steps_of(folder, callbacks, ckpt_path=None, end=None):
        logger = RunLogger(folder)
        trainer = make_trainer(callbacks=callbacks, logger=logger, log_every_n_steps=1)
        with nullcontext() if end is None else pytest.raises(end):
            trainer.fit(make_classifier(), datamodule=data, ckpt_path=ckpt_path)
        rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
        return [(int(row["step"]), row["train/loss"]) for row in rows if row["train/loss"]]

    whole, file = tmp_path / "whole", tmp_path / "last.ckpt"
    expected = steps_of(whole, [EpochSeed()])
    stopped = [Kick(2, signal.SIGTERM), EpochSeed(), CleanStop(file)]
    assert steps_of(tmp_path / "run", stopped, end=SystemExit) == expected[:3]
    assert steps_of(tmp_path / "run", [EpochSeed(), CleanStop()], file) == expected
    assert len(expected) > 3


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
def test_the_step_ends_and_all_of_it_is_saved(
    number, said, make_classifier, make_trainer, data, tmp_path, capsys
):
    def callbacks():
        return [EpochSeed(), ColumnSparsity(0.5, start=0.1, end=0.9, every=1)]

    whole = make_classifier(winograd=VANILLA)
    make_trainer(callbacks=callbacks()).fit(whole, datamodule=data)
    file, before = tmp_path / "last.ckpt", [signal.getsignal(n) for n in (number, signal.SIGUSR1)]
    stop = CleanStop(file, "python train.py fit --run x --ckpt_path last")
    trainer = make_trainer(callbacks=[Kick(2, number), *callbacks(), stop])
    with pytest.raises(SystemExit) as ended:
        trainer.fit(make_classifier(winograd=VANILLA), datamodule=data)
    assert ended.value.code == 128 + number
    assert [signal.getsignal(n) for n in (number, signal.SIGUSR1)] == before
    assert capsys.readouterr().out == (
        f"{said}: stopped after step 3, which {file} holds. Go on with:\n"
        "  python train.py fit --run x --ckpt_path last\n"
    )
    other = make_classifier(winograd=VANILLA)
    trainer = make_trainer(callbacks=[*callbacks(), CleanStop()])
    trainer.fit(other, datamodule=data, ckpt_path=file)
    state = other.state_dict()
    for key, value in whole.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_a_second_ctrl_c_waits_for_nothing(make_classifier, make_trainer, data, tmp_path):
    stop = CleanStop(tmp_path / "last.ckpt")
    trainer = make_trainer(callbacks=[Kick(2, signal.SIGINT, signal.SIGINT), stop])
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        trainer.fit(make_classifier(), datamodule=data)
    assert trainer.global_step == 2 and not (tmp_path / "last.ckpt").exists()


def test_without_checkpoints_nothing_is_saved(make_classifier, make_trainer, data, capsys):
    trainer = make_trainer(callbacks=[Kick(1, signal.SIGTERM), CleanStop()])
    with pytest.raises(SystemExit):
        trainer.fit(make_classifier(), datamodule=data)
    assert capsys.readouterr().out == "SIGTERM: stopped after step 2\n"


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({"SLURM_JOB_ID": "17"}, "17"),
        ({"SLURM_JOB_ID": "19", "SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "2"}, "17_2"),
    ],
)
@pytest.mark.parametrize("works", [True, False])
def test_a_preempted_job_comes_back(
    environment, job, works, make_classifier, make_trainer, data, tmp_path, monkeypatch, capsys
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = tmp_path / "bin" / "scontrol"
    command.parent.mkdir()
    ending = "" if works else "echo no such job >&2; exit 1\n"
    command.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n{ending}')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    stop = CleanStop(tmp_path / "last.ckpt")
    trainer = make_trainer(callbacks=[Kick(1, signal.SIGUSR1), stop])
    with pytest.raises(SystemExit):
        trainer.fit(make_classifier(), datamodule=data)
    assert (tmp_path / "called").read_text() == f"requeue {job}\n"
    said = f"job {job} is requeued\n" if works else f"job {job} is not requeued: no such job\n"
    assert capsys.readouterr().out.endswith(said)
    assert (tmp_path / "last.ckpt").is_file()


def test_who_asks_to_stop_a_job_gets_it_stopped(
    make_classifier, make_trainer, data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    trainer = make_trainer(callbacks=[Kick(1, signal.SIGINT), CleanStop(tmp_path / "a.ckpt")])
    with pytest.raises(SystemExit):
        trainer.fit(make_classifier(), datamodule=data)
    assert "requeued" not in capsys.readouterr().out
