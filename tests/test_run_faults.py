"""Disks that are full, folders that cannot be written to, damaged files: one line, nothing lost."""

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from evaluate import main as evaluate
from train import main as train
from videowino import cli
from videowino.data.synthetic import write_video
from videowino.training.checkpoint_file import before, fault

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _like_a_process_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings():
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Clips, a configuration, and a run of two epochs of one step each."""
    place = tmp_path_factory.mktemp("faults")
    videos = place / "clips" / "videos"
    for name, level in (("Bright", 200), ("Dark", 40)):
        (videos / name).mkdir(parents=True)
        for group in (1, 2, 3):
            frames = np.full((6, 16, 16, 3), level, np.uint8)
            write_video(videos / name / f"v_{name}_g{group:02d}_c01.avi", frames)
    lists = place / "clips" / "splits"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Bright\n2 Dark\n")
    for part, groups in (("train", (1, 2)), ("test", (3,))):
        lines = [f"{n}/v_{n}_g{g:02d}_c01.avi\n" for n in ("Bright", "Dark") for g in groups]
        (lists / f"{part}list01.txt").write_text("".join(lines))
    data = {"root": str(place / "clips"), "frames": 4, "size": [16, 16], "resize": None}
    settings = {
        "trainer": {"max_epochs": 2, "accelerator": "cpu", "log_every_n_steps": 1},
        "model": {"backbone": "r3d_10", "width": 0.125, "stem": "small"},
        "data": {
            "class_path": "videowino.data.VideoFolder",
            "init_args": data | {"batch_size": 4, "num_workers": 0},
        },
    }
    (place / "base.yaml").write_text(yaml.safe_dump(settings))
    train(["fit", "--config", str(place / "base.yaml"), "--run", str(place / "run")])
    return place


@pytest.fixture
def base(place):
    return str(place / "base.yaml")


@pytest.fixture
def run(place, tmp_path):
    """A run of two epochs, of the test's own."""
    return shutil.copytree(place / "run", tmp_path / "run")


def fails(capsys, main, *args):
    """The one line on stderr of a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: main([str(a) for a in args]))
    assert ended.value.code == 2
    return error_of(capsys.readouterr().err)


def error_of(said):
    """The only line, beside warnings."""
    lines = [line for line in said.splitlines() if line and not line.startswith("warning: ")]
    assert len(lines) == 1 and lines[0].startswith("error: "), said
    return lines[0].removeprefix("error: ")


@pytest.mark.slow
def test_in_a_process_of_its_own(base, tmp_path):
    limit = ["bash", "-c", 'ulimit -f 1 && exec "$@"', "bash"]
    command = [sys.executable, str(REPOSITORY / "train.py"), "fit", "--config", base]
    done = subprocess.run([*limit, *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "config.yaml: cannot be written (File too large); make room" in error_of(done.stderr)
    assert os.listdir(tmp_path) == ["runs"] and not os.listdir(tmp_path / "runs")


@contextmanager
def no_file_above(size):
    """As on a disk that has so many bytes left for each file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def goes_on(run, epochs):
    """Go on with the run; the steps that metrics.csv has then."""
    train(["fit", "--run", str(run), "--ckpt_path", "last", "--trainer.max_epochs", str(epochs)])
    with (run / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]


def full(path):
    """A place at which the disk is full."""
    path.symlink_to("/dev/full")
    return path


needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


# Folders that cannot be written to.


@pytest.mark.parametrize("folder", ["/proc/run", "/sys/run", "file/run", "file"])
def test_a_run_folder_that_cannot_be(folder, base, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    if not folder.startswith("file") and not os.path.isdir(os.path.dirname(folder)):
        pytest.skip(f"needs {os.path.dirname(folder)}")
    message = fails(capsys, train, "fit", "--config", base, "--run", folder)
    assert message.startswith(f"run={folder}: ")
    assert message.endswith("folder")


@pytest.mark.parametrize("locked", [".", "checkpoints"])
def test_a_read_only_run_folder(locked, run, capsys):
    (run / locked).chmod(0o500)
    if os.access(run / locked, os.W_OK):
        (run / locked).chmod(0o700)
        pytest.skip("permissions do not bind root")
    args = ("fit", "--run", run, "--ckpt_path", "last", "--trainer.max_epochs", "3")
    message = fails(capsys, train, *args)
    (run / locked).chmod(0o700)
    assert "run" in message and "Permission denied" in message
    assert goes_on(run, 3) == [0, 1, 2]


# A full disk.


def test_a_disk_that_is_full_from_the_start(base, tmp_path, capsys):
    run = tmp_path / "runs" / "new"
    with no_file_above(100):
        message = fails(capsys, train, "fit", "--config", base, "--run", run)
    assert message == (
        f"{run}/config.yaml: cannot be written (File too large); make room, or give another place"
    )
    assert not run.exists()


def test_settings_that_cannot_be_saved(run, capsys):
    old = (run / "config.yaml").read_bytes()
    with no_file_above(100):
        message = fails(capsys, train, "fit", "--run", run, "--ckpt_path", "last")
    assert message.startswith(f"{run}/config.yaml: cannot be written (File too large); make room")
    assert (run / "config.yaml").read_bytes() == old
    assert goes_on(run, 3) == [0, 1, 2]


@needs_full
def test_a_record_that_cannot_be_saved(run, capsys):
    old = (run / "run.json").read_bytes()
    full(run / ".run.json.new")
    message = fails(capsys, train, "fit", "--run", run, "--ckpt_path", "last")
    assert message.startswith(f"{run}/run.json: cannot be written (No space left on device); make")
    assert (run / "run.json").read_bytes() == old
    assert goes_on(run, 3) == [0, 1, 2]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_checkpoint_that_cannot_be_saved(share, run, capsys):
    last = run / "checkpoints" / "last.ckpt"
    old = last.read_bytes()
    more = ("--ckpt_path", "last", "--trainer.max_epochs", "3")
    with no_file_above(int(share * len(old))):
        message = fails(capsys, train, "fit", "--run", run, *more)
    assert message.startswith(f"{last}: cannot be written (File too large); the checkpoint before")
    assert message.endswith("make room, and go on with --ckpt_path last")
    assert last.read_bytes() == old
    left = sorted(file.name for file in last.parent.iterdir())
    assert left == [".lock", "last-before.ckpt", "last.ckpt"]
    assert goes_on(run, 3) == [0, 1, 2]


def test_figures_that_cannot_be_logged(run, capsys):
    metrics, config = run / "metrics.csv", run / "config.yaml"
    head, *rows = metrics.read_text().splitlines(keepends=True)
    many = 2 + config.stat().st_size // len(rows[0])
    metrics.write_text("".join([head, *rows[:1] * many, *rows[1:]]))
    old = metrics.read_bytes()
    more = ("--ckpt_path", "last", "--trainer.max_epochs", "3")
    with no_file_above(len(old) + 5):
        message = fails(capsys, train, "fit", "--run", run, *more)
    assert message.startswith(f"{metrics}: cannot be written (File too large); make room")
    assert metrics.read_bytes() == old  # no half of a row
    assert goes_on(run, 3)[-2:] == [1, 2]


@needs_full
def test_predictions_that_cannot_be_saved(run, capsys):
    (run / "predict").mkdir()
    full(run / "predict" / "predictions.csv")
    message = fails(capsys, train, "predict", "--run", run, "--ckpt_path", "last")
    assert message.startswith(f"{run}/predict/predictions.csv: cannot be written (No space left")


# Two trainings of one folder.


@pytest.mark.slow
def test_the_second_training_of_a_folder_is_refused(base, tmp_path, capsys):
    run = tmp_path / "run"
    command = [sys.executable, str(REPOSITORY / "train.py"), "fit", "--config", base]
    command += ["--run", str(run), "--trainer.max_epochs", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        while not first.stdout.readline().startswith("run folder:"):
            assert first.poll() is None
        again = ("fit", "--config", base, "--run", run, "--ckpt_path", "last")
        assert fails(capsys, train, *again).startswith(
            f"run={run}: another training is writing to it; wait until it has ended, or choose"
        )
        first.stdout.read()
    assert first.returncode == 0
    assert goes_on(run, 20) == list(range(20))


# Interrupted.


def test_a_ctrl_c_that_ends_at_once(run, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("videowino.training.classifier.VideoClassifier.training_step", interrupt)
    args = ["fit", "--run", str(run), "--ckpt_path", "last", "--trainer.max_epochs", "3"]
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: train(args))
    signal.signal(signal.SIGINT, handler)
    assert ended.value.code == 130 and capsys.readouterr().err.endswith("interrupted\n")


# Damaged checkpoints.


def damage(file, how):
    content = bytearray(file.read_bytes())
    if how == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 4
    file.write_bytes(bytes(content))
    assert fault(file)


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(how, run, capsys):
    goes_on(run, 3)
    last = run / "checkpoints" / "last.ckpt"
    damage(last, how)
    with pytest.warns(UserWarning, match=rf"going on from {before(last)}, the one before"):
        assert goes_on(run, 4) == [0, 1, 2, 3]
    assert fault(last) is None

    damage(last, how)
    damage(before(last), how)
    capsys.readouterr()
    message = fails(capsys, train, "fit", "--run", run, "--ckpt_path", "last")
    assert str(last) in message and str(before(last)) in message
    assert message.endswith("start again in another folder, or bring back a copy")


# What evaluate.py writes.

WRITERS = {
    "deploy": ("--out", "x.vwino"),
    "compare": ("--json", "x.json"),
    "report": ("--out", "x.html"),
}
QUICK = ("--seconds", "0", "--batch_sizes", "1")


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_place_that_cannot_be_written_to(name, place, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    option, file = WRITERS[name]
    last = place / "run" / "checkpoints" / "last.ckpt"
    for folder in ("file", "/proc/none"):
        message = fails(capsys, evaluate, name, last, option, f"{folder}/{file}")
        assert message.startswith(f"{option[2:]}={folder}/{file}: its folder cannot be made (")


@needs_full
@pytest.mark.parametrize("name", ["compare", "report"])
def test_figures_on_a_full_disk(name, place, tmp_path, capsys):
    option, file = WRITERS[name]
    last = place / "run" / "checkpoints" / "last.ckpt"
    path = full(tmp_path / file)
    message = fails(capsys, evaluate, name, last, option, path, *QUICK)
    assert message == (
        f"{path}: cannot be written (No space left on device); make room, or give another place"
    )


def test_a_deployed_model_on_a_full_disk(place, tmp_path, capsys):
    last, out = place / "run" / "checkpoints" / "last.ckpt", tmp_path / "x.vwino"
    out.write_text("old")
    with no_file_above(9999):
        message = fails(capsys, evaluate, "deploy", last, "--out", out)
    assert message.startswith(f"{out}: cannot be written (File too large); make room")
    assert out.read_text() == "old" and os.listdir(tmp_path) == ["x.vwino"]
