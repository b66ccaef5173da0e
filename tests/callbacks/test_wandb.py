"""What a run under configs/overlay/wandb.yaml holds, read back from its offline records."""

import json
import os
import re
import runpy
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import av
import matplotlib.image
import numpy as np
import pytest
import yaml

from tests.data.conftest import write_lists
from videowino.callbacks import WandbColumns, WandbPredictions, wandb_metrics
from videowino.data.synthetic import write_video

pytest.importorskip("wandb")
REPOSITORY = Path(__file__).parents[2]
OVERLAY = str(REPOSITORY / "configs" / "overlay" / "wandb.yaml")
DISABLED = {"WANDB_MODE": "disabled"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("wandb") / "clips"
    rng = np.random.default_rng(0)
    for label, name in enumerate(["Jump", "Run", "Walk & <talk>"]):
        (root / "videos" / name).mkdir(parents=True)
        for group in range(1, 4):
            noise = rng.integers(0, 80, (6, 32, 32, 3), dtype=np.uint8)
            write_video(
                root / "videos" / name / f"v_g{group:02d}_c01.avi", noise + np.uint8(70 * label)
            )
    return write_lists(root)


def arguments(clips, run):
    init = {"root": str(clips), "frames": 4, "size": [16, 16], "resize": None, "num_workers": 0}
    speedup = {"every_n_epochs": 2, "seconds": 0.02, "seconds_a_layer": 0.01}
    trainer = {"max_epochs": 3, "num_sanity_val_steps": 0, "enable_progress_bar": False}
    trainer["log_every_n_steps"] = 1
    trainer["callbacks"] = [{"class_path": "SpeedupLogger", "init_args": speedup}]
    config = {
        "trainer": trainer,
        "model": {"backbone": "r3d_10", "width": 0.125, "stem": "small", "lr": 0.01},
        "data": {"class_path": "VideoFolder", "init_args": init | {"batch_size": 3}},
    }
    path = Path(run).parent / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    winograd = ["--model.winograd.parameterization", "low_rank", "--model.winograd.rank", "2"]
    return ["fit", "--config", str(path), "--config", OVERLAY, *winograd] + [
        *("--sparsity", "0.5", "--run", str(run))
    ]


def train(clips, run, args=None, **environment):
    args = arguments(clips, run) if args is None else args
    command = [sys.executable, str(REPOSITORY / "train.py"), *args]
    environment = os.environ | environment
    done = subprocess.run(command, capture_output=True, text=True, cwd=run.parent, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stderr


def chunks(content):
    """The records of a .wandb file: LevelDB's log format behind a header of seven bytes."""
    place, parts = 7, []
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts.append(content[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


def records(run):
    """The records of the one offline run in a folder, by kind."""
    from wandb.proto import wandb_internal_pb2

    (file,) = (run / "wandb").glob("offline-run-*/*.wandb")
    found = {}
    for data in chunks(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        found.setdefault(kind, []).append(getattr(record, kind))
    return found, file.parent


@pytest.fixture(scope="module")
def logged(clips, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    # In a process of its own, as wandb writes to the end when that ends.
    train(clips, run, WANDB_MODE="offline", WANDB_SILENT="true")
    found, folder = records(run)
    history = {}
    for record in found["history"]:
        row = {}
        for item in record.item:
            first, *rest = item.nested_key or [item.key]
            if first.startswith("_"):
                continue
            value = json.loads(item.value_json)
            if rest:
                row.setdefault(first, {})[rest[0]] = value
            else:
                row[first] = value
        for key, value in row.items():
            history.setdefault(key, []).append((row.get("trainer/global_step"), value))
    return run, folder, found, history


def media(logged, value):
    return logged[1] / "files" / value["path"]


@pytest.mark.parametrize(("every", "final"), [(1, True), (2, True), (3, False)])
def test_what_is_final_is_of_the_last_step(
    every, final, make_classifier, make_trainer, data, monkeypatch
):
    run = SimpleNamespace(summary={}, define_metric=lambda *a, **k: None)
    monkeypatch.setattr(wandb_metrics, "check_wandb", lambda *a: None)
    monkeypatch.setattr(wandb_metrics, "wandb_run", lambda trainer: run)
    options = {"max_epochs": 4, "check_val_every_n_epoch": every}
    trainer = make_trainer(callbacks=[wandb_metrics.WandbMetrics()], **options)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trainer.fit(make_classifier(), datamodule=data)
    missed = [str(w.message) for w in said if "WandbMetrics" in str(w.message)]
    if final:
        assert not missed
        assert run.summary["final/loss"] == pytest.approx(
            float(trainer.callback_metrics["val/loss"])
        )
    else:
        assert not run.summary
        assert "the last validation was after step 9 of 12" in missed[0]


def test_summaries_are_of_the_best(logged):
    defined = {}
    for metric in logged[2]["metric"]:
        name = metric.name or metric.glob_name
        defined[name] = metric.summary
    assert defined["val/video_*"].max and defined["val/clip_*"].max
    assert defined["val/loss"].min and defined["train/loss_epoch"].min
    history, summary = logged[3], {}
    for record in logged[2]["summary"]:
        for item in record.update:
            summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
    assert summary["final/video_top1"] == pytest.approx(history["val/video_top1"][-1][1])


def test_figures_are_those_of_the_metrics_file(logged):
    run, _, _, history = logged
    lines = (run / "metrics.csv").read_text().splitlines()
    header = lines[0].split(",")
    rows = [dict(zip(header, line.split(","))) for line in lines[1:]]
    for key in ("val/video_top1", "val/clip_top1", "val/loss", "train/loss_epoch"):
        wanted = [float(row[key]) for row in rows if row.get(key)]
        assert [value for _, value in history[key]] == pytest.approx(wanted) and len(wanted) == 3


def test_sparsity_columns_and_importance_of_each_layer(logged):
    _, _, _, history = logged
    layers = [key.removeprefix("sparsity/") for key in history if key.startswith("sparsity/")]
    assert len(layers) == 5
    assert [v for _, v in history["columns/sparsity"]][-1] == pytest.approx(0.5)
    for layer in layers:
        assert history[f"sparsity/{layer}"][-1][1] == pytest.approx(0.5)
        histogram = history[f"importance/{layer}"][-1][1]
        assert histogram["_type"] == "histogram" and sum(histogram["values"]) == 72
        picture = media(logged, history[f"columns/{layer}"][-1][1])
        assert matplotlib.image.imread(picture).std() > 0.05


def last_table(logged, key):
    """A logged table and the files beside it."""
    name = f"{key}.table.json"
    for record in reversed(logged[2]["artifact"]):
        files = {entry.path: Path(entry.local_path) for entry in record.manifest.contents}
        if name in files:
            return json.loads(files[name].read_text()), files
    raise AssertionError(f"no table {key}")


def test_speedups_over_time_and_the_times_of_each_layer(logged):
    history = logged[3]
    assert [step for step, _ in history["speedup/network"]] == [3, 5]  # after 2 epochs, and the end
    assert all(value > 0 for _, value in history["speedup/layers"])
    table, _ = last_table(logged, "speedup/each_layer")
    layers = [row[table["columns"].index("layer")] for row in table["data"]]
    assert sorted(layers) == sorted(
        key.removeprefix("importance/") for key in history if key.startswith("importance/")
    )
    for name in ("ms", "dense_ms", "speedup"):
        assert all(row[table["columns"].index(name)] > 0 for row in table["data"])


def test_confusion_and_clips_that_play(logged):
    _, _, _, history = logged
    assert len(history["val/confusion"]) == 3
    assert matplotlib.image.imread(media(logged, history["val/confusion"][-1][1])).std() > 0.05
    table, files = last_table(logged, "val/clips")
    assert table["columns"] == ["clip", "truth", "prediction", "probability", "right"]
    assert [row[1] for row in table["data"]] == ["Jump", "Run", "Walk & <talk>"]
    for video, truth, said, probability, right in table["data"]:
        assert right == (truth == said) and 1 / 3 <= probability <= 1
        with av.open(str(files[video["path"]])) as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert len(frames) == 4 and frames[0].shape == (128, 128, 3)


def test_the_model_and_the_configuration_go_along(logged):
    run, _, found, _ = logged
    artifacts = {record.type: record for record in found["artifact"]}
    model = artifacts["model"]
    assert {entry.path for entry in model.manifest.contents} == {"last.ckpt", "config.yaml"}
    assert json.loads(model.metadata)["sparsity"] == pytest.approx(0.5)
    config = {
        item.key: json.loads(item.value_json) for c in found["config"] for item in c.update
    } | {i.key: json.loads(i.value_json) for i in found["run"][0].config.update}
    assert config["run"] == yaml.safe_load((run / "config.yaml").read_text())
    assert found["run"][0].display_name == "run"  # the folder's


def test_the_dashboard_and_the_sweep_ask_for_what_is_there(logged, capsys):
    pytest.importorskip("wandb_workspaces")
    _, _, found, history = logged
    workspace = runpy.run_path(str(REPOSITORY / "dashboards" / "workspace.py"))
    workspace["main"](["--entity", "me", "--print"])
    asked = re.findall(r'"(?:summary:)?(\w+/\w+)"', capsys.readouterr().out)
    sweep = yaml.safe_load((REPOSITORY / "dashboards" / "sweep.yaml").read_text())
    asked.append(sweep["metric"]["name"])
    logged_keys = {"/".join(i.nested_key) or i.key for s in found["summary"] for i in s.update}
    assert len(asked) >= 10 and set(asked) <= logged_keys | set(history)


def test_without_a_logger_each_says_so_and_does_nothing(make_classifier, make_trainer, data):
    trainer = make_trainer(max_epochs=1, callbacks=[WandbColumns(), WandbPredictions()])
    with pytest.warns(UserWarning) as told:
        trainer.fit(make_classifier(), datamodule=data)
    said = [str(w.message) for w in told if "no WandbLogger" in str(w.message)]
    assert [line.split(":")[0] for line in said] == ["WandbColumns", "WandbPredictions"]


@pytest.mark.slow
def test_a_run_that_goes_on_is_one_run_wherever_its_folder_is_now(clips, tmp_path):
    run, moved = tmp_path / "run", tmp_path / "moved"
    args = [*arguments(clips, run), "--trainer.max_epochs", "1"]
    train(clips, run, args, WANDB_MODE="offline")
    run.rename(moved)
    args = ["fit", "--run", str(moved), "--ckpt_path", "last", "--trainer.max_epochs", "2"]
    train(clips, moved, args, WANDB_MODE="offline")
    first, second = sorted(path.name for path in (moved / "wandb").glob("offline-run-*"))
    assert first.rpartition("-")[2] == second.rpartition("-")[2]
    assert not run.exists()
    logger = yaml.safe_load((moved / "config.yaml").read_text())["trainer"]["logger"]
    # Another run with this configuration is another run, in its own folder.
    assert (logger["init_args"]["save_dir"], logger["init_args"]["id"]) == (".", None)


@pytest.mark.slow
def test_disabled(clips, tmp_path):
    """In a process of its own: wandb reads the environment once."""
    run = tmp_path / "run"
    said = train(clips, run, **DISABLED)
    assert (run / "metrics.csv").is_file() and not list(run.glob("wandb/*run*"))
    assert "no WandbLogger" not in said
    logger = yaml.safe_load((run / "config.yaml").read_text())["trainer"]["logger"]
    # Whoever goes on with the run sends nothing unasked.
    assert logger["init_args"]["offline"] is True


@pytest.mark.slow
def test_without_wandb_the_overlay_says_what_to_install_unless_it_is_disabled(clips, tmp_path):
    hidden = "import sys; sys.modules['wandb'] = None; from videowino.cli import run; "
    hidden += "from train import main; run(lambda: main(sys.argv[1:]))"
    command = [sys.executable, "-c", hidden, *arguments(clips, tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 2
    assert done.stderr.count("\n") <= 2 and "wandb" in done.stderr and "pip install" in done.stderr
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, env=os.environ | DISABLED
    )
    assert done.returncode == 0, done.stderr
    command[command.index("--run") + 1] = str(tmp_path / "another")
    without = [a for a in command if a != OVERLAY]
    del without[without.index("--config", 6)]
    done = subprocess.run(without, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (WandbColumns, {"every_n_epochs": -1}, "every_n_epochs=-1: 0 or more"),
        (WandbPredictions, {"clips": -1}, "clips=-1: 0 or more"),
    ],
)
def test_bad_arguments_are_named(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)
