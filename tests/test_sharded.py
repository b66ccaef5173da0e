"""train.py in two processes that share parameters: the results and checkpoints of one process."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from tests.test_processes import REPOSITORY, Folder, flat, of
from videowino.training import load_classifier

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SHARDED = ("--config", REPOSITORY / "configs/cluster/fsdp.yaml")
LOW_RANK = ("--model.winograd.parameterization", "low_rank", "--model.winograd.rank", 2)

STOP = """
import os
import signal
import pytorch_lightning as pl


class Stop(pl.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 5 and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.fixture
def folder(tmp_path):
    """Where commands are run."""
    made = Folder(tmp_path, "VideoFolder", groups=2, test_groups=(1,), batch_size=4).of_motion()
    made.strategy = "fully_sharded"
    (tmp_path / "stop.py").write_text(STOP)
    return made


def fit(folder, processes, name, *args, run=None):
    """A training in which a step takes eight clips; what its processes tell."""
    folder.run(
        *(processes, "fit", "--run", run or name, "--data.batch_size", 8 // processes),
        *("--trainer.sync_batchnorm", "true", "--trainer.max_epochs", 3),
        *("--trainer.precision", "64-true", "--trainer.gradient_clip_val", 1.0),
        *("--model.optimizer", "adamw", *args),
        *("--trainer.callbacks+", "benchmarks.processes.record.Record"),
        *("--trainer.callbacks.path", f"{name}."),
    )
    paths = [folder.path / f"{name}.{rank}.json" for rank in range(processes)]
    return [json.loads(path.read_text()) for path in paths]


@pytest.mark.parametrize(
    "options",
    [
        (*LOW_RANK, "--sparsity", 0.5, "--trainer.callbacks+", "EMA"),
        (
            *("--model.winograd.parameterization", "vanilla", "--sparsity", 0.5),
            *("--granularity", "block", "--model.width", 0.5, "--model.optimizer", "sgd"),
            *("--trainer.accumulate_grad_batches", 2, "--trainer.max_epochs", 4),
        ),
    ],
    ids=["low rank, averaged", "blocks of vanilla, accumulated"],
)
def test_pruning_in_two_processes_is_that_of_one(options, folder):
    (one,) = fit(folder, 1, "one", *options)
    two = fit(folder, 2, "two", *options)
    assert len(one["losses"]) >= 8
    assert [of["losses"] for of in two] == [pytest.approx(one["losses"], abs=1e-9)] * 2
    assert two[0]["masks"] == two[1]["masks"] == one["masks"]
    theirs, ours = (
        torch.load(folder.path / name / "checkpoints/last.ckpt", weights_only=True)
        for name in ("one", "two")
    )
    assert ours.keys() == theirs.keys()
    for part in ("state_dict", *(("current_model_state",) if "EMA" in options else ())):
        assert ours[part].keys() == theirs[part].keys()
        for name, value in theirs[part].items():
            assert torch.allclose(ours[part][name].double(), value.double(), atol=1e-6), name
    (theirs,), (ours,) = theirs["optimizer_states"], ours["optimizer_states"]
    assert ours["param_groups"] == theirs["param_groups"]
    assert ours["state"].keys() == theirs["state"].keys()


def test_a_stopped_training_goes_on_with_any_strategy(folder):
    args = (*LOW_RANK, "--sparsity", 0.5, "--trainer.callbacks+", "EMA")
    whole = fit(folder, 2, "whole", *args)
    with pytest.raises(AssertionError):  # exit code of SIGTERM
        fit(folder, 2, "stopped", *args, "--import", "stop", "--trainer.callbacks+", "stop.Stop")
    for processes, strategy in ((2, "fully_sharded"), (2, "ddp"), (1, None)):
        folder.strategy = strategy
        shutil.rmtree(folder.path / "on", ignore_errors=True)
        shutil.copytree(folder.path / "stopped", folder.path / "on")
        on = fit(folder, processes, "on", *args, "--ckpt_path", "last")
        steps = len(on[0]["losses"])
        assert 0 < steps < len(whole[0]["losses"])
        # A checkpoint is read in float32.
        expected = pytest.approx(whole[0]["losses"][-steps:], abs=1e-6)
        assert all(of["losses"] == expected and of["masks"] == whole[0]["masks"] for of in on)

    last = folder.path / "whole/checkpoints/last.ckpt"
    load_classifier(last)
    folder.strategy = "fully_sharded"
    figures = []
    for processes in (1, 2):
        folder.run(processes, "test", "--run", "whole", "--ckpt_path", "last", *LOW_RANK)
        figures.append(folder.table("whole/test/metrics.csv"))
        shutil.rmtree(folder.path / "whole/test")
    assert figures[0] == figures[1]
    command = [sys.executable, str(REPOSITORY / "evaluate.py"), "test", str(last)]
    done = subprocess.run(command, cwd=folder.path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_process_without_clips_keeps_nobody_waiting(tmp_path):
    folder = Folder(tmp_path, "VideoFolder", groups=3, test_groups=(1,), batch_size=1)
    folder.strategy = None
    # Three training clips are batches of one, two in a process; one test clip.
    for part, drop in (("train", "Run/v_Run_g03"), ("test", "Run/v_Run_g01")):
        path = tmp_path / "clips" / "splits" / f"{part}list01.txt"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if drop not in line))
    # Batch norm of one clip wants more than one place in space.
    size = ("--data.size", "[40,40]", "--data.resize", "[44,44]", "--model.clips_at_once", 1)
    pruned = (*LOW_RANK, "--sparsity", 0.5, *SHARDED)
    for name, synchronized in (("alone", "false"), ("together", "true")):
        options = (*size, *pruned, "--trainer.sync_batchnorm", synchronized)
        rows = folder.run(2, "fit", "--run", name, *options)
        for epoch in (0, 1):
            seen = of(rows, "train", epoch)
            assert flat(seen) == [0, 1, 2] and [] in seen[1]
            assert of(rows, "val", epoch) == {0: [[0]], 1: [[]]}
        state = load_classifier(tmp_path / name / "checkpoints/last.ckpt").state_dict()
        assert all(bool(v.isfinite().all()) for v in state.values() if v.is_floating_point())


def test_what_needs_the_whole_network(folder):
    """Measuring it, teaching it, and stopping where it is no longer finite."""
    folder.strategy = None
    options = (*LOW_RANK, *SHARDED, "--data.batch_size", 4)
    folder.run(2, "fit", "--run", "dense", *SHARDED, "--data.batch_size", 4)
    teacher = folder.path / "dense/checkpoints/last.ckpt"
    folder.run(
        *(2, "fit", "--run", "fast", *options, "--speedup", 1.05, "--model.weights", teacher),
        *("--trainer.callbacks+", "SpeedupLogger", "--trainer.callbacks.every_n_epochs", 0),
        *("--trainer.callbacks.seconds", 0.1, "--trainer.callbacks.seconds_a_layer", 0.01),
        *("--trainer.callbacks+", "Distillation", "--trainer.callbacks.teacher", teacher),
    )
    assert len(folder.table("fast/speedup.csv")) > 0
    with pytest.raises(AssertionError, match=r"step \d: the loss is not finite, 3 times"):
        folder.run(2, "fit", "--run", "off", *options, "--model.lr", 1e38)
