"""A folder of real life, from the outside: training runs through, tests count every video."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.conftest import write_counting
from tests.data.odd_videos import BROKEN, make_odd_videos

REPOSITORY = Path(__file__).parents[1]
UNREADABLE = {*BROKEN, "ten_times", "one_frame", "two_frames"}  # the last two are too short


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two classes; both lists name every odd file of class Run, and good clips of both."""
    root = tmp_path_factory.mktemp("clips")
    odd = make_odd_videos(root / "videos" / "Run")
    good = [
        write_counting(root / "videos" / name / f"v_{name}_g{group:02d}_c01.avi")
        for name in ("Jump", "Run")
        for group in range(1, 9)
    ]
    files = [*odd.values(), *good]
    splits = root / "splits"
    splits.mkdir()
    (splits / "classInd.txt").write_text("1 Jump\n2 Run\n")
    # A line of a list cannot hold a newline, so that such a file is in no list.
    listed = [f"{path.parent.name}/{path.name}" for path in files if "\n" not in path.name]
    for name in ("trainlist01.txt", "testlist01.txt"):
        (splits / name).write_text("\n".join(listed) + "\n", encoding="utf-8")
    return root, len(listed)


def run(*args, **options):
    command = [sys.executable, str(REPOSITORY / "train.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, **options)


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_training_and_testing_on_it(root, workers, tmp_path):
    folder, listed = root
    options = [
        *("--data.root", str(folder), "--data.frames", "4", "--data.num_workers", str(workers)),
        *("--data.size", "[24, 24]", "--data.resize", "32", "--data.batch_size", "4"),
        *("--data.scale", "null", "--data.sampling", "random", "--data.part", "[1, 1]"),
        *("--data.short_clips", "error", "--data.clips", "2"),
    ]
    fit = run(
        *("fit", "--config", str(REPOSITORY / "configs/folder_r3d18.yaml"), *options),
        *("--model.backbone", "r3d_10", "--model.width", "0.125", "--trainer.max_epochs", "2"),
        *("--model.warmup_epochs", "0", "--run", "run"),
        cwd=tmp_path,
    )
    assert fit.returncode == 0, fit.stderr[-3000:]
    said = fit.stdout + fit.stderr
    for kind in UNREADABLE:
        named = [line for line in said.splitlines() if f"{kind}.avi: " in line]
        replaced = [line for line in named if "another clip takes its place" in line]
        assert len(replaced) == 1, (kind, named)
    assert "train videos cannot be read: other clips took their places" in fit.stdout
    test = run("test", "--ckpt_path", "run/checkpoints/last.ckpt", cwd=tmp_path)
    assert test.returncode == 0, test.stderr[-3000:]
    assert (test.stdout + test.stderr).count("; it counts as wrong") == len(UNREADABLE)
    total = f"{len(UNREADABLE)} of {listed} test videos cannot be read and count as wrong"
    assert total in test.stdout
    predict = run(
        *("predict", "--ckpt_path", "run/checkpoints/last.ckpt", "--run", "said"), cwd=tmp_path
    )
    assert predict.returncode == 0, predict.stderr[-3000:]
    with (tmp_path / "said" / "predict" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == listed  # every listed video once
    silent = {Path(row["video"]).stem for row in rows if not row["predicted"]}
    assert silent == UNREADABLE


def test_none_allowed(root, tmp_path):
    fit = run(
        *("fit", "--config", str(REPOSITORY / "configs/folder_r3d18.yaml")),
        *("--data.root", str(root[0]), "--data.max_bad", "0", "--data.num_workers", "0"),
        *("--model.backbone", "r3d_10", "--model.width", "0.125", "--run", "run"),
        cwd=tmp_path,
    )
    assert fit.returncode != 0
    lines = fit.stderr.strip().splitlines()
    assert "more than data.max_bad=0 allows" in lines[-1] and "datasets/verify.py" in lines[-1]
    assert "Traceback" not in fit.stderr
