import csv

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger, WandbLogger

from videowino.callbacks import ColumnSparsity, EpochSeed, SpeedupLogger, speedup_logger
from videowino.fastest import in_fastest_form
from videowino.timing import time_layers, time_models
from videowino.training import WinogradConfig
from videowino.training.run_logger import RunLogger
from videowino.winograd import winograd_layers

LOW_RANK = WinogradConfig(rank=2, include=["layer1.0*"])
FAST = dict(seconds=0, seconds_a_layer=0)


class Losses(pl.Callback):
    def __init__(self):
        self.losses, self.modes = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())
        self.modes.append([m.training for m in pl_module.modules()])


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_figures_of_the_network_and_of_each_layer(make_classifier, make_trainer, data, tmp_path):
    loggers = [RunLogger(tmp_path / "run"), CSVLogger(tmp_path / "other", name="", version="")]
    callbacks = [
        ColumnSparsity(schedule="one_shot", start=3, unit="step"),
        SpeedupLogger(every_n_epochs=1, **FAST),
    ]
    trainer = make_trainer(max_epochs=2, callbacks=callbacks, logger=loggers)
    trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)

    rows = read(tmp_path / "run" / "speedup.csv")
    assert [(r["epoch"], r["step"], r["layer"], r["columns_kept"]) for r in rows] == [
        ("0", "2", "layer1.0.conv1.0", "144"),
        ("0", "2", "layer1.0.conv2.0", "144"),
        ("1", "5", "layer1.0.conv1.0", "72"),
        ("1", "5", "layer1.0.conv2.0", "72"),
    ]
    for row in rows:
        assert row["tile"] == "F(2x4x4, 3x3x3)" and row["parameterization"] == "low_rank 2"
        assert float(row["ms"]) > 0 and float(row["dense_ms"]) > 0
        assert float(row["speedup"]) == pytest.approx(float(row["dense_ms"]) / float(row["ms"]))
        # Output 8 channels x 4 x 8 x 8: 8 tiles, and 8 x 8 products a kept column in each.
        assert float(row["multiplications"]) == 8 * 64 * int(row["columns_kept"])
        assert float(row["dense_multiplications"]) == 27 * 8 * 8 * 4 * 8 * 8
    for path in (tmp_path / "run" / "metrics.csv", tmp_path / "other" / "metrics.csv"):
        logged = [r for r in read(path) if r.get("speedup/network")]
        assert [r["step"] for r in logged] == ["2", "5"]
        assert [float(r["speedup/columns_kept"]) for r in logged] == [1.0, 0.5]
        for r in logged:
            ratio = float(r["speedup/dense_ms"]) / float(r["speedup/ms"])
            assert float(r["speedup/network"]) == pytest.approx(ratio)
            assert float(r["speedup/layers"]) > 0
        saved = [float(r["speedup/multiplications"]) for r in logged]
        assert saved[0] - saved[1] == 2 * 8 * 64 * 72


def test_training_is_not_disturbed(make_classifier, make_trainer, data):
    def run(*extra):
        losses, classifier = Losses(), make_classifier(winograd=LOW_RANK, dropout=0.3)
        trainer = make_trainer(max_epochs=3, callbacks=[*extra, losses])
        torch.manual_seed(1)  # no EpochSeed: one number drawn by the logger would show
        trainer.fit(classifier, datamodule=data)
        return losses, classifier.state_dict()

    without, state = run()
    logged, same = run(SpeedupLogger(every_n_epochs=1, **FAST))
    assert logged.losses == without.losses
    assert logged.modes == without.modes and all(logged.modes[-1])
    assert all(torch.equal(same[key], value) for key, value in state.items())


def test_neither_network_is_slow_by_accident(make_classifier, make_trainer, data, monkeypatch):
    formed, timed = [], []

    def form(model, example, **options):
        found = in_fastest_form(model, example, **options)
        formed.append((type(model), found[0]))
        return found

    def record(models, example, *layers, **options):
        timed.append(dict(models))
        return (time_layers if layers else time_models)(models, example, *layers, **options)

    for name, fake in (
        ("in_fastest_form", form),
        ("time_models", record),
        ("time_layers", record),
    ):
        monkeypatch.setattr(speedup_logger, name, fake)
    classifier = make_classifier(winograd=LOW_RANK)
    trainer = make_trainer(max_epochs=1, callbacks=[SpeedupLogger(0, **FAST)])
    trainer.fit(classifier, datamodule=data)
    (_, dense), (_, winograd) = formed
    assert timed == [{"dense": dense, "winograd": winograd}] * 2
    assert not winograd_layers(dense) and len(winograd_layers(winograd)) == 2


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
def test_any_precision_is_measured(precision, make_classifier, make_trainer, data, tmp_path):
    trainer = make_trainer(
        max_epochs=1,
        limit_val_batches=0,
        precision=precision,
        callbacks=[SpeedupLogger(0, **FAST)],
        logger=RunLogger(tmp_path),
    )
    trainer.fit(make_classifier(winograd=LOW_RANK, lr=1e-4), datamodule=data)
    rows = read(tmp_path / "speedup.csv")
    assert len(rows) == 2 and all(float(r["dense_ms"]) > 0 for r in rows)


@pytest.mark.parametrize(("every", "epochs"), [(0, [2]), (1, [0, 1, 2]), (2, [1, 2])])
def test_when_it_measures(every, epochs, make_classifier, make_trainer, data, tmp_path):
    callbacks = [SpeedupLogger(every_n_epochs=every, **FAST)]
    trainer = make_trainer(max_epochs=3, callbacks=callbacks, logger=RunLogger(tmp_path))
    trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)
    rows = read(tmp_path / "speedup.csv")
    measured = sorted({(int(r["epoch"]), int(r["step"])) for r in rows})
    assert measured == [(e, 3 * e + 2) for e in epochs]


def test_wandb_gets_a_table(make_classifier, make_trainer, data):
    tables = []

    class Offline(WandbLogger):
        def __init__(self):
            self.save_dir_ = None

        name = version = save_dir = property(lambda self: None)

        def log_hyperparams(self, *args):
            pass

        def log_metrics(self, metrics, step=None):
            pass

        def log_table(self, key, columns=None, data=None, **kwargs):
            tables.append((key, columns, data))

        def finalize(self, status):
            pass

    trainer = make_trainer(max_epochs=1, callbacks=[SpeedupLogger(0, **FAST)], logger=Offline())
    trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)
    ((key, columns, rows),) = tables
    assert key == "speedup/each_layer"  # no figure has this name
    assert [row[columns.index("layer")] for row in rows] == ["layer1.0.conv1.0", "layer1.0.conv2.0"]
    assert all(len(row) == len(columns) for row in rows)


def test_a_dense_network_has_none(make_classifier, make_trainer, data, tmp_path):
    trainer = make_trainer(
        max_epochs=1, callbacks=[EpochSeed(), SpeedupLogger(1)], logger=RunLogger(tmp_path)
    )
    with pytest.warns(UserWarning, match="the network is dense, so there is no speedup"):
        trainer.fit(make_classifier(), datamodule=data)
    assert not (tmp_path / "speedup.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_n_epochs": -1}, "every_n_epochs=-1: 0 or more"),
        ({"batch_size": 0}, "batch_size=0: 1 or more"),
        ({"seconds": -1}, "seconds=-1: 0 or more"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SpeedupLogger(**options)
