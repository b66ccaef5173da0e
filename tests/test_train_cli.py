"""train.py from the outside: what it writes, how it goes on, and what it says to bad input."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml

from train import main
from videowino import cli
from videowino.data.synthetic import write_video
from videowino.surgery import ranks
from videowino.training import VideoClassifier, load_classifier, load_datamodule
from videowino.training.length import Length
from videowino.training.schedules import learning_rate_factor
from videowino.winograd import column_sparsity, winograd_layers

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


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """Two classes of six clips, 24 x 32 pixels, six frames, with split lists."""
    root = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    lists = {"train": [], "test": []}
    for label, name in enumerate(("Bright", "Dark"), start=1):
        (root / "videos" / name).mkdir(parents=True)
        for group in range(1, 7):
            clip = f"{name}/v_{name}_g{group:02d}_c01.avi"
            frames = random.integers(0, 100, (6, 24, 32, 3)) + (150 if label == 1 else 0)
            write_video(root / "videos" / clip, frames.astype(np.uint8))
            lists["train" if group < 5 else "test"].append((clip, label))
    (root / "splits").mkdir()
    (root / "splits" / "classInd.txt").write_text("1 Bright\n2 Dark\n")
    train = "".join(f"{clip} {label}\n" for clip, label in lists["train"])
    (root / "splits" / "trainlist01.txt").write_text(train)
    test = "".join(f"{clip}\n" for clip, _ in lists["test"])
    (root / "splits" / "testlist01.txt").write_text(test)
    return root


@pytest.fixture
def clips(rendered, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(rendered, tmp_path / "clips")


def config(root, **model):
    return {
        "trainer": {
            "max_epochs": 2,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "num_sanity_val_steps": 0,
        },
        "model": {"backbone": "r3d_10", "width": 0.125, "stem": "small", "lr": 0.05, **model},
        "data": {
            "class_path": "videowino.data.VideoFolder",
            "init_args": {
                "root": str(root),
                "frames": 4,
                "size": [16, 16],
                "resize": [20, 20],
                "batch_size": 4,
                "num_workers": 0,
            },
        },
    }


@pytest.fixture
def base(rendered, tmp_path):
    path = tmp_path / "base.yaml"
    path.write_text(yaml.safe_dump(config(rendered)))
    return str(path)


def fails(capsys, *args):
    """The one line on stderr of a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: main([str(a) for a in args]))
    lines = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line and not line.startswith(("Seed set", "warning: ", "[rank"))
    ]
    assert ended.value.code == 2
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0].removeprefix("error: ")


def rows(run, name="metrics.csv"):
    with (Path(run) / name).open() as file:
        return list(csv.DictReader(file))


# What it does.


def test_a_run_from_fit_to_predict(base, rendered, tmp_path, capsys):
    run = tmp_path / "run"
    main(["fit", "--config", base, "--run", str(run)])
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["model"]["backbone"] == "r3d_10" and saved["data"]["init_args"]["frames"] == 4
    assert saved["trainer"]["max_epochs"] == 2 and saved["seed_everything"] == 0
    losses = [float(r["train/loss"]) for r in rows(run) if r["train/loss"]]
    assert len(losses) == 4
    rates = [float(r["lr-SGD/weights"]) for r in rows(run) if r["lr-SGD/weights"]]
    assert rates == pytest.approx([0.05, 0.05 * 0.8535534, 0.025, 0.05 * 0.1464466])
    validated = [r for r in rows(run) if r["val/video_top1"]]
    assert [r["step"] for r in validated] == ["1", "3"]
    out = capsys.readouterr().out
    assert f"run folder: {run}" in out and "epoch 2/2" in out

    # From here on the run's own config is enough.
    main(["test", "--run", str(run), "--ckpt_path", "last", "--data.clips", "2"])
    assert "test/video_top1" in capsys.readouterr().out
    (tested,) = rows(run / "test")
    assert tested["test/video_top1"] == tested["test/clip_top1"] in ("0.5", "0.75", "1.0", "0.25")
    main(["validate", "--ckpt_path", str(run / "checkpoints" / "last.ckpt")])

    main(["predict", "--run", str(run), "--ckpt_path", "last"])
    predicted = rows(run / "predict", "predictions.csv")
    assert [Path(r["video"]).name for r in predicted] == [
        f"v_{name}_g0{group}_c01.avi" for name in ("Bright", "Dark") for group in (5, 6)
    ]
    assert [r["label"] for r in predicted] == ["Bright", "Bright", "Dark", "Dark"]
    right = sum(r["label"] == r["predicted"] for r in predicted) / 4
    assert right == float(rows(run)[-2]["val/video_top1"])  # one clip a video in both
    assert all(0.5 <= float(r["probability"]) <= 1 for r in predicted)
    capsys.readouterr()
    main(["predict", "--ckpt_path", str(run / "checkpoints" / "last.ckpt")])
    printed = capsys.readouterr().out.splitlines()
    assert printed == (run / "predict" / "predictions.csv").read_text().splitlines()

    classifier = load_classifier(run / "checkpoints" / "last.ckpt")
    assert classifier.hparams["num_classes"] == 2
    data = load_datamodule(run / "checkpoints" / "last.ckpt", batch_size=2)
    assert (data.hparams["root"], data.hparams["batch_size"]) == (str(rendered), 2)


def test_fine_tuning_in_low_rank_from_a_dense_run(base, tmp_path):
    dense, pruned = tmp_path / "dense", tmp_path / "pruned"
    main(["fit", "--config", base, "--run", str(dense)])
    main(
        ["fit", "--config", base, "--run", str(pruned), "--sparsity", "0.25"]
        + ["--model.weights", str(dense / "checkpoints" / "last.ckpt"), "--model.lr", "1e-9"]
        + ["--model.winograd.parameterization", "low_rank", "--model.winograd.rank", "2"]
    )
    shutil.rmtree(dense)
    classifier = load_classifier(pruned / "checkpoints" / "last.ckpt")
    assert column_sparsity(classifier) == pytest.approx(0.25)
    assert {layer.rank for layer in winograd_layers(classifier).values()} == {2}
    assert [r["column_sparsity"] for r in rows(pruned) if r["column_sparsity"]][-1] == "0.25"
    saved = yaml.safe_load((pruned / "config.yaml").read_text())
    (callback,) = saved["trainer"]["callbacks"]
    assert callback["class_path"].endswith("ColumnSparsity")
    # A run whose dense weights are gone can still be tested and continued.
    main(["test", "--run", str(pruned), "--ckpt_path", "last"])
    main(["fit", "--run", str(pruned), "--ckpt_path", "last", "--trainer.max_epochs", "3"])
    assert rows(pruned)[-1]["step"] == "5"


def test_ranks_of_a_share_of_energy_go_on_with_the_run(base, capsys, tmp_path):
    """They are found from the weights that the run starts from, which may be gone later."""
    run, dense = tmp_path / "run", tmp_path / "dense"
    main(["fit", "--config", base, "--run", str(dense)])
    weights = ["--model.weights", str(dense / "checkpoints" / "last.ckpt")]
    swap = ["--model.winograd.parameterization", "low_rank", "--model.winograd.rank", "0.6"]
    main(["fit", "--config", base, "--run", str(run), *weights, *swap])
    found = ranks(load_classifier(run / "checkpoints" / "last.ckpt").model)
    assert len(set(found.values())) > 1
    shutil.rmtree(dense)
    main(["fit", "--run", str(run), "--ckpt_path", "last", "--trainer.max_epochs", "3"])
    assert ranks(load_classifier(run / "checkpoints" / "last.ckpt").model) == found
    main(["test", "--run", str(run), "--ckpt_path", "last"])


def test_sparsity_sets_the_configured_callback(base, capsys, tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        "trainer:\n  callbacks+:\n    - class_path: videowino.callbacks.ColumnSparsity\n"
        "      init_args: {start: 0.25, end: 0.5, every: 1}\n"
    )
    winograd = ["--model.winograd.parameterization", "vanilla"]
    args = ["fit", "--config", base, "--config", str(overlay), *winograd, "--sparsity", "0.75"]
    main([*args, "--score", "magnitude", "--run", str(tmp_path / "run")])
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    (options,) = (c["init_args"] for c in saved["trainer"]["callbacks"])
    assert (options["score"], options["start"], options["every"]) == ("magnitude", 0.25, 1)
    seen = [r["column_sparsity"] for r in rows(tmp_path / "run") if r["column_sparsity"]]
    assert [round(float(s), 3) for s in seen] == [0.0, 0.0, 0.75, 0.75]


def test_what_prunes_how_is_set_by_options_too(settled):
    configs = ("folder_r3d18.yaml", "prune/low_rank.yaml")
    options = ["--schedule", "regrow", "--budget", "time", "--speedup", "2", "--score", "taylor"]
    config = settled(*configs, options=options)
    kinds = [callback.class_path.rpartition(".")[2] for callback in config.trainer.callbacks]
    assert kinds.count("ColumnSparsity") == 1 and "SpeedupLogger" in kinds
    pruning = config.trainer.callbacks[kinds.index("ColumnSparsity")].init_args
    assert (pruning.schedule, pruning.budget, pruning.score) == ("regrow", "time", "taylor")
    assert (pruning.sparsity, pruning.speedup, pruning.end) == (None, 2.0, 0.5)


MY_MODELS = """
from torch import nn
from videowino.models import register_model
from videowino.data import VideoFolder

@register_model("mine", head="2")
def mine(num_classes, width=1.0):
    body = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    return nn.Sequential(*body[:2], nn.Sequential(body[2], nn.Linear(8, num_classes)))

class MyFolder(VideoFolder):
    pass
"""


@pytest.mark.slow
def test_a_backbone_and_data_of_ones_own(base, tmp_path):
    (tmp_path / "my_models.py").write_text(MY_MODELS)
    run, ckpt = tmp_path / "run", tmp_path / "run" / "checkpoints" / "last.ckpt"

    def process(program, *args):
        command = [sys.executable, str(REPOSITORY / program), *map(str, args)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    own = ("--import", "my_models", "--model.backbone", "mine", "--model.stem", "default")
    own += ("--data.class_path", "my_models.MyFolder", "--model.width", "1")
    code, out = process("train.py", "fit", "--config", base, *own, "--run", run)
    assert code == 0, out
    code, out = process("train.py", "fit", "--ckpt_path", ckpt, "--trainer.max_epochs", "3")
    assert code == 0 and "epoch 3/3" in out, out
    compare = ("evaluate.py", "compare", ckpt, "--seconds", "0", "--batch_sizes", "1")
    code, out = process(*compare)
    assert code == 2 and "backbone='mine' is unknown" in out
    code, out = process(*compare, "--import", "my_models")
    assert code == 0 and "MyFolder" in out, out


def test_print_config_is_a_config(base, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--config", base, "--model.lr", "0.25", "--print_config"])
    assert ended.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["lr"] == 0.25 and printed["data"]["init_args"]["size"] == [16, 16]
    assert "num_classes" not in printed["model"]  # the data's


def test_debug_writes_nothing(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    debug = ["--config", str(REPOSITORY / "configs/overlay/debug.yaml")]
    main(["fit", "--config", base, "--model.warmup_epochs", "5", *debug])
    assert not (tmp_path / "runs").exists()


def test_overfit_and_profile_overlays(base, tmp_path, capsys):
    for name in ("overfit", "profile"):
        overlay = str(REPOSITORY / f"configs/overlay/{name}.yaml")
        run = str(tmp_path / name)
        main(
            ["fit", "--config", base, "--config", overlay, "--run", run]
            + ["--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1"]
        )
    assert "run_training_epoch" in capsys.readouterr().out


@pytest.mark.slow
def test_weights_and_biases_offline(base, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    overlay = str(REPOSITORY / "configs/overlay/wandb.yaml")
    run = tmp_path / "run"
    main(["fit", "--config", base, "--config", overlay, "--run", str(run)])
    assert list((run / "wandb").glob("offline-run-*/*.wandb"))
    assert (run / "metrics.csv").is_file()


@pytest.mark.data
@pytest.mark.parametrize(
    ("command", "config", "split", "clips"),
    [
        ("fit", "r3d18_hmdb51", 1, "5095 of 5100"),
        ("test", "c3d_hmdb51", 1, "5095 of 5100"),
        ("fit", "i3d_ucf101", 2, "13316 of 13320"),
        ("test", "r3d18_ucf101", 1, "13316 of 13320"),
    ],
)
def test_real_clips_with_the_official_lists(command, config, split, clips, shared_data, capsys):
    name = config.partition("_")[2]
    args = [command, "--config", str(REPOSITORY / f"configs/{config}.yaml")]
    args += ["--config", str(REPOSITORY / "configs/overlay/debug.yaml")]
    args += ["--data.root", str(shared_data / name), "--data.split", str(split)]
    args += ["--model.weights", "null", "--model.width", "0.125", "--data.frames", "8"]
    args += ["--data.size", "[32,32]", "--data.resize", "[40,56]", "--data.batch_size", "2"]
    with pytest.warns(UserWarning, match=f"{clips} listed clips are not on disk and are left out"):
        main(args)
    assert ("epoch 1/1" if command == "fit" else "test/video_top1") in capsys.readouterr().out
    message = fails(capsys, *args, "--data.missing", "error")
    assert f"{clips} listed clips are not on disk" in message


class Parsed(Exception):
    """Ends a command when its configuration is settled."""


@pytest.fixture
def settled(monkeypatch):
    """Parses a command and settles its configuration, and goes no further."""

    def stop(self):
        raise Parsed(self.config.fit)

    monkeypatch.setattr("videowino.training.command.TrainCLI.instantiate_classes", stop)

    def settle(*configs, options=()):
        files = [o for c in configs for o in ("--config", str(REPOSITORY / "configs" / c))]
        with pytest.raises(Parsed) as stopped:
            main(["fit", *files, *options])
        return stopped.value.args[0]

    return settle


OVERLAYS = sorted(p.name for p in (REPOSITORY / "configs/overlay").glob("*.yaml"))
PRUNE = ["low_rank.yaml", "vanilla.yaml"]


def learns(config):
    """The learning rate's factors, of a training of 100 steps an epoch."""
    epochs, dry = config.trainer.max_epochs, config.trainer.fast_dev_run
    length = Length(1 if dry else 100 * epochs, 1 if dry else 100, dry)
    factor = learning_rate_factor(length, config.model.warmup_epochs, config.model.milestones)
    return [factor(step) for step in range(length.total)]


@pytest.mark.parametrize("name", sorted(p.name for p in (REPOSITORY / "configs").glob("*.yaml")))
def test_every_config_learns_under_every_overlay(name, settled):
    for overlay in OVERLAYS:
        assert max(learns(settled(name, f"overlay/{overlay}"))) == 1.0
    for prune in PRUNE:
        if name in ("demo_low_rank.yaml", "demo_vanilla.yaml"):
            with pytest.raises(ValueError, match="ColumnSparsity is configured 2 times; leave out"):
                main(
                    [
                        "fit",
                        *(f"--config={REPOSITORY}/configs/{c}" for c in (name, f"prune/{prune}")),
                    ]
                )
            continue
        factors = learns(settled(name, f"prune/{prune}"))
        assert len(factors) == 1500 and factors[-1] < 0.001  # the rate has fallen when it ends
        learns(settled(name, f"prune/{prune}", "overlay/profile.yaml"))
        learns(settled(name, "overlay/debug.yaml", f"prune/{prune}"))


@pytest.mark.parametrize("name", sorted(p.stem for p in (REPOSITORY / "configs").glob("*.yaml")))
def test_every_config_is_understood(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--config", str(REPOSITORY / f"configs/{name}.yaml"), "--print_config"])
    assert ended.value.code == 0


@pytest.mark.parametrize(
    "path",
    [
        str(p.relative_to(REPOSITORY))
        for folder in ("overlay", "prune", "results")
        for p in sorted((REPOSITORY / "configs" / folder).glob("*.yaml"))
    ],
)
def test_every_overlay_is_understood(path, capsys):
    first = str(REPOSITORY / "configs/folder_r3d18.yaml")
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--config", first, "--config", str(REPOSITORY / path), "--print_config"])
    assert ended.value.code == 0


# Going on after a kill.

KILLED_LATE = """
import os, signal, sys
sys.path.insert(0, {repository!r})
import torch
torch.set_num_threads(1)
from videowino.training.classifier import VideoClassifier
step = VideoClassifier.training_step
def killed(self, batch, batch_idx):
    if self.trainer.global_step == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, batch_idx)
if {at} >= 0:
    VideoClassifier.training_step = killed
from train import main
main(sys.argv[1:])
"""


def in_a_process(args, at=-1):
    code = KILLED_LATE.format(repository=str(REPOSITORY), at=at)
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize(("workers", "every"), [(0, None), (1, None), (1, 1)])
def test_a_run_that_broke_off_goes_on_as_if_it_had_not(workers, every, base, tmp_path, monkeypatch):
    args = ["fit", "--config", base, "--data.num_workers", str(workers)]
    args += ["--trainer.max_epochs", "3", "--model.dropout", "0.3", "--model.mixup", "0.4"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    main([*args, "--run", str(whole)])

    step = VideoClassifier.training_step

    def broken(self, batch, batch_idx):
        if self.trainer.global_step == 3:  # the second of the second epoch's two
            raise RuntimeError("power cut")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(VideoClassifier, "training_step", broken)
        main([*args, "--run", str(cut), *(["--checkpoint_every", str(every)] if every else [])])
    torch.manual_seed(99)
    main(["fit", "--run", str(cut), "--ckpt_path", "last"])
    for key in ("step", "train/loss", "val/loss"):
        assert [r[key] for r in rows(cut)] == [r[key] for r in rows(whole)]
    assert len([r for r in rows(cut) if r["train/loss"]]) == 6


@pytest.mark.parametrize(
    "length",
    [["--trainer.max_epochs", "4"], ["--trainer.max_steps", "8", "--trainer.max_epochs", "-1"]],
    ids=["epochs", "steps"],
)
@pytest.mark.parametrize("every", [None, 1])
@pytest.mark.parametrize(
    "breaks", [["1 train"], ["1 train", "2 train"], ["1 val"], ["0 val", "1 val", "2 train"]]
)
def test_a_run_that_broke_off_behind_an_epochs_end(
    breaks, every, length, base, tmp_path, monkeypatch
):
    args = ["fit", "--config", base, *length]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    main([*args, "--run", str(whole)])

    seen, due = [], []

    def breaking(name, original):
        def step(self, batch, batch_idx):
            epoch = self.trainer.current_epoch
            # An epoch's second step, and its only batch of validation.
            if due == [f"{epoch} {name}"] and (name == "val" or batch_idx == 1):
                raise RuntimeError("power cut")
            seen.append((epoch, name, batch_idx))
            return original(self, batch, batch_idx)

        return step

    for name, method in (("train", "training_step"), ("val", "validation_step")):
        monkeypatch.setattr(
            VideoClassifier, method, breaking(name, getattr(VideoClassifier, method))
        )
    given = [*args, "--run", str(cut), *(["--checkpoint_every", str(every)] if every else [])]
    for place in breaks:
        due[:] = [place]
        with pytest.raises(RuntimeError, match="power cut"):
            main(given)
        given = ["fit", "--run", str(cut), "--ckpt_path", "last"]
    due.clear()
    main(given)
    steps = [(epoch, "train", batch) for epoch in range(4) for batch in range(2)]
    if every:  # no step is taken twice
        assert [step for step in seen if step[1] == "train"] == steps
    assert sorted({step for step in seen if step[1] == "train"}) == steps
    logged = [
        [(r["epoch"], r["step"], r["train/loss"]) for r in rows(run) if r["train/loss"]]
        for run in (cut, whole)
    ]
    assert logged[0] == logged[1] and len(logged[0]) == 8
    one, two = (torch.load(run / "checkpoints" / "last.ckpt") for run in (whole, cut))
    assert all(torch.equal(two["state_dict"][k], v) for k, v in one["state_dict"].items())
    assert (two["global_step"], two["epoch"]) == (one["global_step"], one["epoch"]) == (8, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "options"), [(1, []), (0, ["--checkpoint_every", "1"])], ids=["epochs", "steps"]
)
def test_kill_9_and_resume_equal_the_uninterrupted_run(workers, options, rendered, tmp_path):
    settings = config(rendered, mixup=0.4, dropout=0.2, warmup_epochs=1)
    settings["model"]["winograd"] = {"parameterization": "low_rank", "rank": 2}
    settings["trainer"]["max_epochs"] = 6
    settings["trainer"]["callbacks"] = [
        {
            "class_path": "videowino.callbacks.ColumnSparsity",
            "init_args": {"start": 0.2, "end": 0.8, "every": 1},
        },
        {"class_path": "videowino.callbacks.EMA", "init_args": {"decay": 0.8}},
        {
            "class_path": "videowino.callbacks.SpeedupLogger",
            "init_args": {"every_n_epochs": 2, "seconds": 0, "seconds_a_layer": 0},
        },
    ]
    settings["data"]["init_args"] |= {"num_workers": workers, "color_jitter": 0.3}
    path = tmp_path / "kill.yaml"
    path.write_text(yaml.safe_dump(settings))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    code, err = in_a_process(["fit", "--config", str(path), "--run", str(whole)])
    assert code == 0, err
    # Two steps an epoch: step 7 is the second of the fourth epoch.
    code, _ = in_a_process(["fit", "--config", str(path), "--run", str(cut), *options], at=7)
    assert code == -signal.SIGKILL
    assert max(int(r["step"]) for r in rows(cut) if r["train/loss"]) == 6
    again = ["fit", "--run", str(cut), "--ckpt_path", "last"]
    code, err = in_a_process([*again, "--data.num_workers", str(1 - workers)])
    assert code == 0, err

    timed = ("speedup/network", "speedup/layers", "speedup/ms", "speedup/dense_ms")
    skipped = timed if not options else (*timed, "train/loss_epoch", "train/clip_top1")
    for got, want in zip(rows(cut), rows(whole), strict=True):
        assert {k: v for k, v in got.items() if k not in skipped} == {
            k: v for k, v in want.items() if k not in skipped
        }
    assert len(rows(cut, "speedup.csv")) == len(rows(whole, "speedup.csv"))
    one, two = (torch.load(run / "checkpoints" / "last.ckpt") for run in (whole, cut))
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(two[part][k], v) for k, v in one[part].items())
    assert two["callbacks"]["ColumnSparsity"] == one["callbacks"]["ColumnSparsity"]
    final = load_classifier(cut / "checkpoints" / "last.ckpt")
    assert column_sparsity(final) == pytest.approx(0.5)


def test_a_run_is_not_overwritten(base, tmp_path, capsys):
    run = tmp_path / "run"
    main(["fit", "--config", base, "--run", str(run), "--trainer.limit_train_batches", "1"])
    before = (run / "metrics.csv").read_text()
    capsys.readouterr()
    message = fails(capsys, "fit", "--config", base, "--run", run)
    assert message == (
        f"run={run}: already holds a run; continue it with --ckpt_path last, or choose another "
        "folder"
    )
    assert (run / "metrics.csv").read_text() == before


def test_the_command_that_continues_also_starts(base, tmp_path):
    args = ["fit", "--config", base, "--run", str(tmp_path / "run"), "--ckpt_path", "last"]
    main([*args, "--trainer.max_epochs", "1"])
    main(args)
    assert [r["step"] for r in rows(tmp_path / "run") if r["train/loss"]] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("again", [["--ckpt_path", "last"], []], ids=["resumed", "restarted"])
def test_a_run_killed_before_its_first_checkpoint_starts_again(
    again, base, tmp_path, monkeypatch, capsys
):
    run, step = tmp_path / "run", VideoClassifier.training_step

    def broken(self, batch, batch_idx):
        if self.trainer.global_step == 1:
            raise RuntimeError("power cut")
        return step(self, batch, batch_idx)

    args = ["fit", "--config", base, "--run", str(run)]
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(VideoClassifier, "training_step", broken)
        main(args)
    assert [r["step"] for r in rows(run) if r["train/loss"]] == ["0"]
    (run / "speedup.csv").write_text("layer,step\nconv,0\n")
    # Logged at other steps, so that no row of the killed process would be written over.
    rest = [*again, "--trainer.log_every_n_steps", "3"]
    main(["fit", "--run", str(run), *rest] if again else [*args, *rest])
    assert [r["step"] for r in rows(run) if r["train/loss"]] == ["2"]
    assert not (run / "speedup.csv").exists()
    assert (run / "checkpoints" / "last.ckpt").is_file()
    out = capsys.readouterr().out
    assert (f"run={run}: holds no checkpoint yet, starting from the beginning" in out) == (
        again != []
    )


def test_the_saved_config_is_that_of_the_accepted_command(base, tmp_path, capsys):
    dense, run = tmp_path / "dense", tmp_path / "run"
    main(["fit", "--config", base, "--run", str(dense), "--trainer.max_epochs", "1"])
    capsys.readouterr()
    args = ["--config", base, "--ckpt_path", dense / "checkpoints" / "last.ckpt", "--run", run]
    message = fails(capsys, "fit", *args, "--model.width", "0.25")
    assert "width=0.125" in message and "width=0.25" in message
    assert not (run / "config.yaml").exists()
    # A config.yaml that an older version left there says nothing of this run.
    run.mkdir(exist_ok=True)
    (run / "config.yaml").write_text("model: {width: 0.25}\n")
    main(["fit", *map(str, args)])
    assert yaml.safe_load((run / "config.yaml").read_text())["model"]["width"] == 0.125
    files = ["checkpoints", "config.yaml", "metrics.csv", "run.json"]
    assert sorted(p.name for p in run.iterdir()) == files
    (start,) = json.loads((run / "run.json").read_text())
    assert start["command"].endswith(f"--run {run}") and start["seed"] == 0
    main(["test", "--ckpt_path", str(run / "checkpoints" / "last.ckpt")])


def test_a_run_goes_on_to_its_new_end(base, tmp_path, capsys):
    run = tmp_path / "run"
    weights = tmp_path / "w.pt"
    torch.save(VideoClassifier("r3d_10", 2, 0.125, stem="small").model.state_dict(), weights)
    start = ["--trainer.max_epochs", "1", "--model.weights", str(weights)]
    main(["fit", "--config", base, "--run", str(run), *start])
    resume = ["fit", "--run", str(run), "--ckpt_path", "last"]
    first = (run / "config.yaml").read_text()
    capsys.readouterr()
    main(resume)
    told = "nothing to do: the run has made all of its 2 steps; to train on, raise --trainer.max_ep"
    assert told in capsys.readouterr().out
    assert (run / "config.yaml").read_text() == first
    main([*resume, "--trainer.max_epochs", "2"])
    assert "nothing to do" not in capsys.readouterr().out
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["trainer"]["max_epochs"] == 2
    assert saved["model"]["weights"] == str(weights)  # where the run began
    main(resume)
    assert "all of its 4 steps" in capsys.readouterr().out


def test_a_moved_run_is_continued_in_silence(base, tmp_path):
    main(["fit", "--config", base, "--run", str(tmp_path / "a"), "--trainer.max_epochs", "1"])
    (tmp_path / "a").rename(tmp_path / "b")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*dirpath.*")
        main(
            ["fit", "--run", str(tmp_path / "b"), "--ckpt_path", "last"]
            + ["--trainer.max_epochs", "2"]
        )
    assert [r["step"] for r in rows(tmp_path / "b") if r["train/loss"]] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_random_weights_are_told_of(command, base, capsys):
    with pytest.warns(UserWarning, match="random weights, so what it finds means nothing; give --"):
        main([command, "--config", base])


def test_checkpoint_every_so_many_steps(base, tmp_path, monkeypatch):
    saved = []
    from pytorch_lightning.callbacks import ModelCheckpoint

    original = ModelCheckpoint._save_checkpoint
    monkeypatch.setattr(
        ModelCheckpoint,
        "_save_checkpoint",
        lambda self, trainer, path: (
            saved.append((trainer.global_step, Path(path).name)),
            original(self, trainer, path),
        ),
    )
    run = str(tmp_path / "run")
    main(["fit", "--config", base, "--run", run, "--checkpoint_every", "1"])
    assert sorted(set(saved)) == [(step, "last.ckpt") for step in (1, 2, 3, 4)]
    files = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert files == [".lock", "last-before.ckpt", "last.ckpt"]


# What it says to bad input.


def test_no_such_root(base, capsys):
    message = fails(capsys, "fit", "--config", base, "--data.root", "/nowhere")
    assert "data.root" in message and "/nowhere" in message


def test_empty_class_folder(base, clips, capsys):
    (clips / "videos" / "Empty").mkdir()
    message = fails(capsys, "fit", "--config", base, "--data.root", clips)
    assert "Empty" in message


def test_split_list_that_names_nothing_on_disk(base, clips, capsys):
    (clips / "splits" / "trainlist01.txt").write_text("Bright/v_Bright_g77_c01.avi 1\n")
    message = fails(capsys, "fit", "--config", base, "--data.root", clips)
    assert message.startswith("data.split=1: the training list names no clip that is in")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", ["corrupt", "empty", "truncated", "audio"])
def test_a_file_that_is_no_video(damage, workers, base, clips, capsys):
    path = clips / "videos" / "Bright" / "v_Bright_g02_c01.avi"
    whole = path.read_bytes()
    if damage == "corrupt":
        path.write_bytes(bytes(len(whole)))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(whole[: len(whole) // 3])
    else:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=8000)
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 800), np.int16), format="s16", layout="mono"
            )
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
    args = ("fit", "--config", base, "--data.root", clips, "--data.num_workers", workers)
    message = fails(capsys, *args, "--data.max_bad", 0)
    assert "v_Bright_g02_c01.avi" in message and "data.max_bad=0" in message


def test_clip_shorter_than_asked_for(base, capsys):
    message = fails(capsys, "fit", "--config", base, "--data.frames", 9)
    assert "data.frames=9" in message and ".avi" in message


WINOGRAD = ("--model.winograd.parameterization", "low_rank")


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ([*WINOGRAD, "--model.winograd.rank", "0"], ["rank=0", "out of range"]),
        ([*WINOGRAD, "--model.winograd.rank", "999"], ["rank=999", "out of range"]),
        ([*WINOGRAD, "--model.winograd.tile", "[2,9,4]"], ["tile", "9"]),
        (["--sparsity", "0.5"], ["ColumnSparsity", "model.winograd"]),
        (["--sparsity", "1.5", *WINOGRAD], ["sparsity=1.5"]),
        (["--sparsity", "0.5", "--speedup", "2", *WINOGRAD], ["--sparsity 0.5 and --speedup 2.0"]),
        (["--speedup", "0", *WINOGRAD], ["speedup=0.0: above 0"]),
        ([*WINOGRAD, "--model.winograd.rank", "1.5"], ["rank=1.5", "share of the energy"]),
        (["--model.backbone", "r3d18"], ["r3d18", "did you mean 'r3d_18'"]),
        (["--model.lr", "0"], ["model.lr=0"]),
        (["--model.lr", "fast"], ["model.lr", "float", "fast"]),
        (["--model.optimizer", "adam"], ["model.optimizer", "adamw", "adam"]),
        (["--data.split", "7"], ["split"]),
        (["--checkpoint_every", "0"], ["checkpoint_every=0"]),
        (["--model.weights", "none.ckpt"], ["weights='none.ckpt'"]),
        (["--ckpt_path", "none.ckpt"], ["ckpt_path=none.ckpt"]),
        (["--model.lrr", "1"], ["unknown option 'model.lrr'", "did you mean 'model.lr'?"]),
        (
            ["--trainer.max_epoch", "1"],
            ["unknown option 'trainer.max_epoch'", "did you mean 'trainer.max_epochs'?"],
        ),
        (["--data.rot", "x"], ["unknown option 'data.rot'", "did you mean 'data.root'?"]),
        (
            [*WINOGRAD, "--model.winograd.rnk", "1"],
            ["unknown option 'model.winograd.rnk'", "did you mean 'model.winograd.rank'?"],
        ),
        (["--config", "none.yaml"], ["none.yaml"]),
    ],
)
def test_bad_options(args, parts, base, tmp_path, capsys):
    message = fails(capsys, "fit", "--config", base, "--run", tmp_path / "run", *args)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("model: {lrr: 1}", ["unknown option 'model.lrr'", "did you mean 'model.lr'?"]),
        ("modle: {lr: 1}", ["unknown option 'modle.lr'", "did you mean 'model.lr'?"]),
        ("trainr: 1", ["unknown option 'trainr'", "did you mean 'trainer'?"]),
        ("data: {init_args: {rot: x}}", ["'data.rot'", "did you mean 'data.root'?"]),
        (
            "data: {class_path: videowino.data.VideoFoldr}",
            ["data: ", "'VideoFoldr'; did you mean 'videowino.data.VideoFolder'?"],
        ),
        (
            "data: {class_path: VideoFoldr}",
            ["data: 'VideoFoldr' is no class", "did you mean 'videowino.data.VideoFolder'?"],
        ),
        (
            "trainer: {callbacks: [videowino.callbacks.EMAA]}",
            ["'EMAA'; did you mean 'videowino.callbacks.EMA'?"],
        ),
        (
            "trainer: {callbacks: [{class_path: videowino.callbacks.EMA},"
            " {class_path: videowino.callbacks.EMA}]}",
            ["trainer.callbacks: EMA is configured 2 times; leave out one"],
        ),
        ("import: [none.such]", ["import=none.such: there is no module none, neither installed"]),
        (
            "trainer: {callbacks: [{class_path: videowino.callbacks.EMA, init_args: {deca: 1}}]}",
            ["deca", "did you mean", "decay"],
        ),
        ("model: {winograd: {rank: many}}", ["model.winograd", "rank", "int", "many"]),
        ("model: [", ["config"]),
    ],
)
def test_bad_config_files(text, parts, base, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text(text)
    message = fails(capsys, "fit", "--config", base, "--config", tmp_path / "bad.yaml")
    for part in parts:
        assert part in message


@pytest.mark.parametrize("args", [[], ["fti"]])
def test_which_subcommand(args, capsys):
    assert "fit" in fails(capsys, *args)


def test_option_of_the_last_of_several_callbacks(base, tmp_path, capsys):
    (tmp_path / "two.yaml").write_text(
        "trainer: {callbacks: [{class_path: videowino.callbacks.ColumnSparsity},"
        " {class_path: videowino.callbacks.SpeedupLogger}]}"
    )
    args = (
        "fit",
        "--config",
        base,
        "--config",
        tmp_path / "two.yaml",
        "--trainer.callbacks.startt",
    )
    message = fails(capsys, *args, "0.1")
    assert message == (
        "unknown option 'trainer.callbacks.startt' of videowino.callbacks.SpeedupLogger"
    )


def test_a_module_that_breaks_keeps_its_traceback(base, tmp_path, monkeypatch):
    (tmp_path / "my_broken.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        main(["fit", "--config", base, "--import", "my_broken"])


def test_schedule_that_ends_before_it_starts(base, tmp_path, capsys):
    (tmp_path / "prune.yaml").write_text(
        "trainer:\n  callbacks:\n    - class_path: videowino.callbacks.ColumnSparsity\n"
        "      init_args: {start: 0.6, end: 0.3}\n"
    )
    message = fails(capsys, "fit", "--config", base, "--config", tmp_path / "prune.yaml", *WINOGRAD)
    assert message == ("trainer.callbacks.end=0.3: the schedule ends before it starts (start=0.6)")


def test_checkpoint_of_another_backbone(base, tmp_path, capsys):
    run = tmp_path / "run"
    main(["fit", "--config", base, "--run", str(run), "--trainer.max_epochs", "1"])
    path = run / "checkpoints" / "last.ckpt"
    other = ["--config", base, "--model.backbone", "mc3_18"]
    capsys.readouterr()
    for args in (["fit", "--run", tmp_path / "other"], ["test"]):
        message = fails(capsys, *args, *other, "--ckpt_path", path)
        assert "backbone='r3d_10'" in message and "backbone='mc3_18'" in message
    message = fails(capsys, "fit", *other, "--model.weights", path, "--run", tmp_path / "third")
    assert "mc3_18" in message and "backbone='r3d_10'" in message and "missing" in message


@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_a_file_that_is_no_checkpoint(damage, base, tmp_path, capsys):
    path = tmp_path / "x.ckpt"
    if damage == "text":
        path.write_text("hello")
    else:
        torch.save({"state_dict": {"x": torch.zeros(9999)}}, path)
        path.write_bytes(path.read_bytes()[:999])
    for option in ("--ckpt_path", "--model.weights"):
        message = fails(capsys, "fit", "--config", base, option, path, "--run", tmp_path / "run")
        assert "x.ckpt" in message and "checkpoint" in message
