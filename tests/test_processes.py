"""train.py in two processes: every training clip once an epoch, results as of one process."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.data.conftest import write_folder, write_lists
from videowino.data import VideoFolder
from videowino.preparing.shards import write_shards

REPOSITORY = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEEN = """
import json
import os
import pytorch_lightning as pl


class Seen(pl.Callback):
    def __init__(self, path: str) -> None:
        self.path = path

    def note(self, trainer, stage, batch):
        with open(f"{self.path}.{trainer.global_rank}", "a") as file:
            row = [stage, trainer.current_epoch, batch["video"].tolist()]
            print(json.dumps(row), file=file)

    def on_train_batch_start(self, trainer, module, batch, number):
        if os.environ.get("POWER_CUT") == str(trainer.global_step):
            os._exit(7)
        self.note(trainer, "train", batch)

    def on_validation_batch_start(self, trainer, module, batch, number, loader=0):
        self.note(trainer, "val", batch)

    def on_test_batch_start(self, trainer, module, batch, number, loader=0):
        self.note(trainer, "test", batch)
"""


class Folder:
    """Where commands are run, of a set of so many clips."""

    strategy: str | None = "ddp"  # of several processes; None leaves it to their configuration

    def __init__(self, path, kind, groups, test_groups, batch_size, classes=("Jump", "Run")):
        self.path = path
        root = write_folder(path / "clips", groups=groups, classes=classes)
        self.root = write_lists(root, test_groups=test_groups)
        data = VideoFolder(root=str(root))
        self.train, self.test = (len(data.videos(part)) for part in ("train", "test"))
        if kind == "VideoShards":
            write_shards(data, path / "shards", shard_mb=0.03)
            self.root = path / "shards"
        (path / "seen.py").write_text(SEEN)
        config = {
            "import": "seen",
            "trainer": {
                "max_epochs": 2,
                "accelerator": "cpu",
                "log_every_n_steps": 1,
                "num_sanity_val_steps": 0,
                "callbacks": [{"class_path": "seen.Seen", "init_args": {"path": "seen"}}],
            },
            "model": {"backbone": "r3d_10", "width": 0.125, "stem": "small", "lr": 0.01},
            "data": {
                "class_path": f"videowino.data.{kind}",
                "init_args": {
                    "root": str(self.root),
                    "frames": 4,
                    "size": [16, 16],
                    "resize": [20, 20],
                    "batch_size": batch_size,
                    "num_workers": 1,
                    "clips": 2,
                },
            },
        }
        (path / "config.yaml").write_text(yaml.safe_dump(config))

    def of_motion(self):
        """With clips without places of one colour, where activations are zero but for rounding."""
        config = yaml.safe_load((self.path / "config.yaml").read_text())
        config["trainer"]["callbacks"] = []
        config["data"] = {
            "class_path": "videowino.data.SyntheticMotion",
            "init_args": {"root": str(self.path / "motion"), "groups": 4, "clips_per_group": 1}
            | {"frames": 8, "size": [24, 24], "resize": None, "clips": 1, "num_workers": 0},
        }
        (self.path / "config.yaml").write_text(yaml.safe_dump(config))
        return self

    def run(self, processes, subcommand, *args, cut=None):
        """train.py as a user runs it, or until a step; the rows of what each process saw."""
        for path in self.path.glob("seen.[0-9]"):
            path.unlink()
        command = [sys.executable, str(REPOSITORY / "train.py"), subcommand]
        command += ["--config", "config.yaml", *map(str, args)]
        command += ["--trainer.devices", str(processes)]
        if processes > 1 and self.strategy is not None:
            command += ["--trainer.strategy", self.strategy]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        env = {**os.environ, "MASTER_PORT": port, "OMP_NUM_THREADS": "1", "POWER_CUT": str(cut)}
        done = subprocess.run(
            command, cwd=self.path, capture_output=True, text=True, env=env, timeout=400
        )
        assert done.returncode == (0 if cut is None else 7), done.stderr
        self.out, self.err = done.stdout, done.stderr
        return {
            int(path.suffix[1:]): [json.loads(line) for line in path.read_text().splitlines()]
            for path in self.path.glob("seen.[0-9]")
        }

    def table(self, name):
        with (self.path / name).open() as file:
            return list(csv.DictReader(file))


def of(rows, stage, epoch):
    """The videos of each process's batches."""
    return {r: [row[2] for row in of_r if row[:2] == [stage, epoch]] for r, of_r in rows.items()}


def flat(batches_of_ranks):
    return sorted(v for batches in batches_of_ranks.values() for batch in batches for v in batch)


@pytest.mark.parametrize("kind", ["VideoFolder", "VideoShards"])
def test_every_clip_once_and_the_result_of_one_process(kind, tmp_path):
    folder = Folder(
        tmp_path, kind, groups=6, test_groups=(1,), batch_size=4, classes=("Jump", "Run", "Sit")
    )
    assert (folder.train, folder.test) == (15, 3)  # neither divides by two
    rows = folder.run(2, "fit", "--run", "two")
    assert sorted(rows) == [0, 1]
    orders = []
    for epoch in (0, 1):
        seen = of(rows, "train", epoch)
        assert flat(seen) == list(range(15))
        assert [[len(batch) for batch in seen[rank]] for rank in (0, 1)] in (
            [[4, 4], [3, 4]],
            [[3, 4], [4, 4]],
        )
        orders.append(seen)
        assert flat(of(rows, "val", epoch)) == [0, 1, 2]
    assert orders[0] != orders[1]

    of_checkpoint = ("--run", "two", "--ckpt_path", "last")
    rows = folder.run(2, "test", *of_checkpoint)
    assert flat(of(rows, "test", 0)) == [0, 1, 2] and sorted(rows) == [0, 1]
    (two,) = folder.table("two/test/metrics.csv")
    (tmp_path / "two/test/metrics.csv").unlink()
    assert "sync_dist" not in folder.err and "DistributedSampler" not in folder.err
    folder.run(1, "test", *of_checkpoint)
    (one,) = folder.table("two/test/metrics.csv")
    assert set(one) == set(two) >= {"test/clip_top1", "test/video_top1", "test/clip_top2"}
    for name in one:
        if "top" in name:
            assert two[name] == one[name]  # exactly
        else:
            assert float(two[name]) == pytest.approx(float(one[name]), rel=1e-5)

    predicted = []
    for processes in (2, 1):
        folder.run(processes, "predict", *of_checkpoint)
        predicted.append(folder.table("two/predict/predictions.csv"))
        (tmp_path / "two/predict/predictions.csv").unlink()
        assert len(folder.out.splitlines()) == 1  # of one process alone
    assert predicted[0] == predicted[1]
    assert len({row["video"] for row in predicted[0]}) == len(predicted[0]) == 3
    right = sum(row["label"] == row["predicted"] for row in predicted[0]) / 3
    assert float(one["test/video_top1"]) == pytest.approx(right)


@pytest.mark.parametrize("kind", ["VideoFolder", "VideoShards"])
@pytest.mark.parametrize("widths", [(2, 1, 2), (1, 2, 1)], ids=str)
def test_an_epoch_goes_on_in_another_number_of_processes(widths, kind, tmp_path):
    folder = Folder(
        tmp_path, kind, groups=6, test_groups=(1,), batch_size=3, classes=("Jump", "Run", "Sit")
    )
    assert folder.train == 15  # five steps of one process, three of two
    seen, run = [], ("--run", "run", "--checkpoint_every", 1)
    for step, processes in enumerate(widths, start=1):
        cut = step if step < len(widths) else None
        rows = folder.run(processes, "fit", *run, "--ckpt_path", "last", cut=cut)
        seen += flat(of(rows, "train", 0))
    assert sorted(seen) == list(range(15))
    after = of(rows, "train", 1)
    assert flat(after) == list(range(15))
    assert {len(own) for own in after.values()} == {5 if processes == 1 else 3}
    steps = [int(row["step"]) for row in folder.table("run/metrics.csv") if row["train/loss"]]
    assert steps == list(range(len(steps)))


@pytest.mark.parametrize("kind", ["VideoFolder", "VideoShards"])
def test_a_process_without_clips_keeps_nobody_waiting(kind, tmp_path):
    folder = Folder(tmp_path, kind, groups=3, test_groups=(1,), batch_size=1)
    # Three training clips are batches of one, two in a process; one test clip.
    for part, drop in (("train", "Run/v_Run_g03"), ("test", "Run/v_Run_g01")):
        path = tmp_path / "clips" / "splits" / f"{part}list01.txt"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if drop not in line))
    if kind == "VideoShards":
        out = tmp_path / "few"
        write_shards(VideoFolder(root=str(tmp_path / "clips")), out, shard_mb=0.03)
        folder.root = out
    # Batch norm of one clip wants more than one place in space.
    root = ("--data.root", folder.root, "--data.size", "[40,40]", "--data.resize", "[44,44]")
    wandb = ("--config", REPOSITORY / "configs/overlay/wandb.yaml")
    # Where norms wait for each other, in the forward pass too; by block, for gates that score.
    waits = ("--trainer.sync_batchnorm", "true")
    if kind == "VideoShards":
        root += ("--model.winograd.parameterization", "low_rank", "--model.winograd.rank", 2)
        waits = ("--sparsity", 0.5, "--granularity", "block")
    rows = folder.run(2, "fit", "--run", "two", *root, *wandb, *waits)
    assert len(list((tmp_path / "two/wandb").glob("offline-run-*"))) == 1
    for epoch in (0, 1):
        seen = of(rows, "train", epoch)
        assert flat(seen) == [0, 1, 2]
        assert [len(seen[rank]) for rank in (0, 1)] == [2, 2]
        assert [] in seen[1]
        assert of(rows, "val", epoch) == {0: [[0]], 1: [[]]}
    folder.run(2, "test", "--run", "two", "--ckpt_path", "last", *root)
    (two,) = folder.table("two/test/metrics.csv")
    (tmp_path / "two/test/metrics.csv").unlink()
    folder.run(1, "test", "--run", "two", "--ckpt_path", "last", *root)
    (one,) = folder.table("two/test/metrics.csv")
    assert two == one
    folder.run(2, "predict", "--run", "two", "--ckpt_path", "last", *root)
    assert len(folder.table("two/predict/predictions.csv")) == 1


def test_pruning_in_two_processes_is_that_of_one(tmp_path):
    folder = Folder(tmp_path, "VideoFolder", groups=2, test_groups=(1,), batch_size=4).of_motion()
    told = {}
    for processes in (1, 2):
        folder.run(
            *(processes, "fit", "--run", f"of{processes}", "--data.batch_size", 8 // processes),
            *("--trainer.precision", "64-true", "--trainer.sync_batchnorm", "true"),
            *("--model.winograd.parameterization", "low_rank", "--model.winograd.rank", 2),
            *("--sparsity", 0.5, "--model.optimizer", "adamw", "--trainer.max_epochs", 3),
            *("--trainer.callbacks+", "SpeedupLogger", "--trainer.callbacks.every_n_epochs", 0),
            *("--trainer.callbacks.seconds", 0.1, "--trainer.callbacks.seconds_a_layer", 0.01),
            *("--trainer.callbacks+", "benchmarks.processes.record.Record"),
            *("--trainer.callbacks.path", f"process{processes}."),
        )
        told[processes] = [
            json.loads((tmp_path / f"process{processes}.{rank}.json").read_text())
            for rank in range(processes)
        ]
        assert len(folder.table(f"of{processes}/speedup.csv")) > 0
    (one,), two = told[1], told[2]
    assert len(one["losses"]) >= 8
    assert [of["losses"] for of in two] == [pytest.approx(one["losses"], abs=1e-9)] * 2
    assert two[0]["masks"] == two[1]["masks"] == one["masks"]
