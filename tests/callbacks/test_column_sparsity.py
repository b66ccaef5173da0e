import warnings

import pytest
import pytorch_lightning as pl  # noqa: I001 - callbacks came first, through the conftest
import torch

from videowino.callbacks import ColumnSparsity, EpochSeed
from videowino.latency import LatencyModel, LayerCost
from videowino.latency.speedup import Found
from videowino.training import WinogradConfig, time_budget
from videowino.training.column_cuts import masks_for, set_masks
from videowino.winograd import column_sparsity, winograd_layers
from videowino.winograd.columns import select_columns

# 12 clips in batches of 4: three steps an epoch. F(2x4x4, 3x3x3) has 144 columns.
LOW_RANK = WinogradConfig(rank=2, include=["layer1*"])


class Record(pl.Callback):
    """What each step ran with."""

    def __init__(self):
        self.sparsity, self.masks, self.losses = [], [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        layers = winograd_layers(pl_module)
        self.sparsity.append(column_sparsity(pl_module))
        self.masks.append({name: layer.column_mask.clone() for name, layer in layers.items()})
        self.losses.append(outputs["loss"].item())


def pruned(*counts):
    return pytest.approx([count / 144 for count in counts], abs=1e-6)


def test_cubic_ramp_between_warm_up_and_frozen_masks(make_classifier, make_trainer, data):
    record = Record()
    callback = ColumnSparsity(sparsity=0.5, start=0.25, end=0.75, every=3)
    trainer = make_trainer(max_epochs=8, callbacks=[callback, record])
    trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)
    # 24 steps: dense to step 6, done at 18, cuts at 9, 12, 15, 18, where the cubic has reached
    # 0.578125, 0.875, 0.984375 and 1 of the 72 columns: 41.6, 63, 70.9, 72.
    assert record.sparsity == pruned(*[0] * 9, *[42] * 3, *[63] * 3, *[71] * 3, *[72] * 6)
    assert trainer.callback_metrics["column_sparsity"] == pytest.approx(0.5)


def test_one_shot(make_classifier, make_trainer, data):
    record = Record()
    callback = ColumnSparsity(sparsity=0.75, schedule="one_shot", start=1, unit="epoch")
    trainer = make_trainer(max_epochs=2, callbacks=[callback, record])
    trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)
    assert record.sparsity == pruned(0, 0, 0, 108, 108, 108)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"start": 2, "end": 4, "unit": "step", "every": 1}, [0, 0, 0, 63, 72, 72]),
        ({"start": 2, "end": 4, "unit": "step", "every": 5}, [0, 0, 0, 0, 72, 72]),
        ({"start": 0, "end": 0, "score": "magnitude"}, [72] * 6),
        # The last cut leaves a step to train with.
        ({"start": 1, "end": 1}, [0, 0, 0, 0, 0, 72]),
    ],
)
def test_when_columns_go(options, expected, make_classifier, make_trainer, data):
    record = Record()
    trainer = make_trainer(max_epochs=2, callbacks=[ColumnSparsity(**options), record])
    trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)
    assert record.sparsity == pruned(*expected)


@pytest.mark.parametrize("epochs", [-1, 100])
def test_epochs_are_epochs_where_steps_end_the_training(
    epochs, make_classifier, make_trainer, data
):
    record = Record()
    callback = ColumnSparsity(start=1, schedule="one_shot", unit="epoch")
    trainer = make_trainer(max_epochs=epochs, max_steps=5, callbacks=[callback, record])
    trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)
    assert record.sparsity == pruned(0, 0, 0, 72, 72)


def test_a_dry_run_is_shorter_than_any_schedule(make_classifier, make_trainer, data):
    callback = ColumnSparsity(start=1, end=3, unit="epoch", score="magnitude")
    trainer = make_trainer(fast_dev_run=True, callbacks=[callback])
    trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)
    assert trainer.global_step == 1


def test_accumulated_batches_are_one_step(make_classifier, make_trainer, data):
    record = Record()
    callback = ColumnSparsity(start=1, end=2, unit="step", every=1)
    trainer = make_trainer(max_epochs=1, accumulate_grad_batches=2, callbacks=[callback, record])
    data.hparams.batch_size = 2  # six batches, three steps
    trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)
    assert record.sparsity == pruned(0, 0, 0, 0, 72, 72)


@pytest.mark.parametrize("score", ["taylor", "factor", "reconstruction"])
def test_a_pruned_column_stays_pruned(score, make_classifier, make_trainer, data):
    record = Record()
    callback = ColumnSparsity(0.7, score=score, budget="global", start=0.2, end=0.8, every=1)
    trainer = make_trainer(max_epochs=4, callbacks=[callback, record])
    trainer.fit(make_classifier(winograd=LOW_RANK, lr=0.2), datamodule=data)
    assert record.sparsity == sorted(record.sparsity)
    assert record.sparsity[-1] == pytest.approx(0.7, abs=1e-3)
    for before, after in zip(record.masks, record.masks[1:]):
        for name in before:
            assert not (after[name] & ~before[name]).any()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("parameterization", ["vanilla", "low_rank", "factored"])
def test_pruned_weights_do_not_drift(
    parameterization, optimizer, make_classifier, make_trainer, data
):
    winograd = WinogradConfig(parameterization, rank=2, include=["layer1.0*"])
    classifier = make_classifier(winograd=winograd, optimizer=optimizer, weight_decay=0.1)
    gates = []

    class Gates(Record):
        def on_train_batch_end(self, trainer, pl_module, *args):
            gates.append([x.gate.detach().clone() for x in winograd_layers(pl_module).values()])

    # Without compensation, which alone would leave the weights of pruned columns as they are.
    callback = ColumnSparsity(schedule="one_shot", start=3, unit="step", compensate=False)
    make_trainer(max_epochs=3, callbacks=[callback, Gates()]).fit(classifier, datamodule=data)
    for index, layer in enumerate(winograd_layers(classifier).values()):
        gone = ~layer.column_mask
        assert gone.sum() == 72
        trained = layer.weight if parameterization == "vanilla" else layer.right
        assert (trained[..., gone] == 0).all()
        assert (trained[..., ~gone] != 0).any()
        at_the_cut, at_the_end = gates[2][index], gates[-1][index]
        assert torch.equal(at_the_end[gone], at_the_cut[gone])
        assert not torch.equal(at_the_end[~gone], at_the_cut[~gone])
        assert not torch.equal(at_the_cut, torch.ones(144))


def test_columns_with_the_lowest_gathered_score_go(make_classifier, make_trainer, data):
    classifier = make_classifier(winograd=LOW_RANK, lr=1e-6)
    seen = {}

    class Watch(Record):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            for name, layer in winograd_layers(pl_module).items():
                seen.setdefault(name, []).append((layer.gate * layer.gate.grad).detach().clone())

    callback = ColumnSparsity(schedule="one_shot", start=3, unit="step", momentum=0.5)
    make_trainer(max_epochs=2, callbacks=[Watch(), callback]).fit(classifier, datamodule=data)
    for name, layer in winograd_layers(classifier).items():
        first, second, third = (x.square() for x in seen[name][:3])
        score = (0.125 * first + 0.25 * second + 0.5 * third).sqrt()
        expected = select_columns({name: score}, 0.5)[name]
        assert torch.equal(layer.column_mask, expected)
        assert int(layer.score_steps) == 3  # none is gathered once nothing is left to decide


def test_further_pruning_of_a_pruned_network(make_classifier, make_trainer, data):
    classifier = make_classifier(winograd=LOW_RANK)
    layers = winograd_layers(classifier)
    masks = masks_for(layers, 0.25, score="reconstruction", budget="uniform")
    set_masks(layers, masks, compensate=True, optimizers=[])
    before = {n: layer.column_mask.clone() for n, layer in winograd_layers(classifier).items()}
    record = Record()
    callback = ColumnSparsity(0.5, start=0, end=4, unit="step", every=2)
    make_trainer(callbacks=[callback, record]).fit(classifier, datamodule=data)
    # From 36 pruned columns to 72; half-way the cubic has 7/8 of the difference: 67.5.
    assert record.sparsity == pruned(36, 36, 68, 68, 72, 72)
    assert all((record.masks[0][name] == mask).all() for name, mask in before.items())
    with pytest.raises(ValueError, match=r"sparsity=0\.25: the network starts with 0\.500"):
        make_trainer(callbacks=[ColumnSparsity(0.25)]).fit(classifier, datamodule=data)


def test_resumed_training_equals_uninterrupted(make_classifier, make_trainer, data, tmp_path):
    def run(ckpt_path=None, killed_after=None):
        record = Record()
        classifier = make_classifier(winograd=LOW_RANK, mixup=0.4, dropout=0.2, warmup_epochs=1)
        trainer = make_trainer(
            max_epochs=6,
            callbacks=[EpochSeed(7), ColumnSparsity(start=0.2, end=0.8, every=2), record],
        )
        if killed_after is not None:
            trainer.callbacks.append(Stop(killed_after))
        trainer.fit(classifier, datamodule=data, ckpt_path=ckpt_path)
        return classifier, record

    class Stop(Record):
        def __init__(self, epochs):
            super().__init__()
            self.epochs = epochs

        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch + 1 == self.epochs:
                trainer.save_checkpoint(tmp_path / "cut.ckpt")
                trainer.should_stop = True

    whole, expected = run()
    _, first = run(killed_after=3)
    assert len(first.losses) == 9
    torch.manual_seed(999)  # whatever the new process starts with
    resumed, rest = run(ckpt_path=tmp_path / "cut.ckpt")
    assert first.losses + rest.losses == expected.losses
    assert first.sparsity + rest.sparsity == expected.sparsity
    for got, want in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 0.6, "end": 0.3}, r"end=0\.3: the schedule ends before it starts \(start=0\.6"),
        ({"sparsity": 1.0}, r"sparsity=1\.0: from 0 to below 1"),
        ({"score": "l1"}, "score='l1': one of magnitude"),
        ({"budget": "even"}, "budget='even': one of uniform, global, time"),
        ({"schedule": "linear"}, "schedule='linear': one of cubic, one_shot, regrow"),
        ({"sparsity": 0.5, "speedup": 2.0}, r"sparsity=0\.5 and speedup=2\.0: give one of them"),
        ({"speedup": 0}, "speedup=0: above 0"),
        ({"speedup": 2, "budget": "global"}, "speedup=2 with budget='global': columns go by time"),
        ({"regrow": 1.1}, r"regrow=1\.1: a share, from 0 to 1"),
        ({"schedule": "regrow", "score": "magnitude"}, "schedule='regrow' with score='magnitude'"),
        ({"unit": "batch"}, "unit='batch': one of fraction, epoch, step"),
        ({"start": -1}, "start=-1: 0 or more"),
        ({"start": 2, "end": 5}, "end=5: a fraction of the training is at most 1; set unit"),
        ({"start": 2, "schedule": "one_shot"}, "start=2: a fraction"),
        ({"every": 0}, "every=0: at least 1"),
        ({"momentum": 1.0}, r"momentum=1\.0: from 0 to below 1"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ColumnSparsity(**options)


@pytest.mark.parametrize(
    ("winograd", "options", "message"),
    [
        (None, {}, "the network has none; give model.winograd"),
        (
            WinogradConfig("vanilla", include=["layer1.0*"]),
            {"score": "factor"},
            "score='factor' needs low_rank or factored layers, and model.layer1.0.conv1.0 has no",
        ),
        (
            WinogradConfig("vanilla", include=["layer1.0*"]),
            {"schedule": "regrow"},
            "schedule='regrow' with compensate: model.layer1.0.conv1.0 is vanilla or factored",
        ),
        (LOW_RANK, {"end": 3, "unit": "epoch"}, r"end=3 \(epoch\): the schedule ends after the"),
        (LOW_RANK, {"end": 7, "unit": "step"}, "after the training, which has 6 steps"),
    ],
)
def test_misuse_is_named(winograd, options, message, make_classifier, make_trainer, data):
    trainer = make_trainer(max_epochs=2, callbacks=[ColumnSparsity(**options)])
    with pytest.raises(ValueError, match=message):
        trainer.fit(make_classifier(winograd=winograd), datamodule=data)


def test_scores_of_gradients_need_steps(make_classifier, make_trainer, data):
    callback = ColumnSparsity(start=0, schedule="one_shot")
    trainer = make_trainer(max_epochs=1, callbacks=[callback])
    with pytest.warns(UserWarning, match="columns go by magnitude"):
        trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)


@pytest.mark.parametrize(
    ("winograd", "compensate"),
    [(LOW_RANK, True), (WinogradConfig("vanilla", include=["layer1*"]), False)],
)
def test_regrowth(winograd, compensate, make_classifier, make_trainer, data):
    record = Record()
    callback = ColumnSparsity(
        schedule="regrow", regrow=1.0, start=0, end=16, unit="step", every=4, compensate=compensate
    )
    classifier = make_classifier(winograd=winograd, lr=0.3)
    make_trainer(max_epochs=6, callbacks=[callback, record]).fit(classifier, datamodule=data)
    # The cubic has 0.578125, 0.875, 0.984375 and 1 of 72 at steps 4, 8, 12 and 16.
    assert record.sparsity == pruned(*[0] * 4, *[42] * 4, *[63] * 4, *[71] * 4, *[72] * 2)
    came_back = [
        sum(int((after[n] & ~before[n]).sum()) for n in before)
        for before, after in zip(record.masks, record.masks[1:])
    ]
    at = [step + 1 for step, count in enumerate(came_back) if count]
    assert at and set(at) <= {8, 12}  # at cuts, not at the first (nothing is gone) or the last
    assert all(layer.probe is None for layer in winograd_layers(classifier).values())
    for layer in winograd_layers(classifier).values():
        assert layer.winograd_weight()[..., layer.column_mask].abs().amax((0, 1)).min() > 0


MADE_UP = LayerCost((4, 6, 6), 0.0, 0.01, 0.1)


def made_up_ms(masks):
    return 1.0 + sum(MADE_UP.ms(mask) for mask in masks.values())


@pytest.fixture
def made_up_costs(monkeypatch):
    """0.01 ms a column and 0.1 ms a line, 1 ms the rest; dense takes 40 ms."""
    calls = []

    def measure(model, dense, example, **_):
        calls.append("measure")
        return LatencyModel(dict.fromkeys(winograd_layers(model), MADE_UP), 40.0, 1.0)

    def find(model, dense, example, latency, scores, speedup, kept):
        calls.append("find")
        masks = latency.select(scores, latency.dense_ms / speedup, kept)
        return Found(masks, latency.dense_ms / latency.ms(masks))

    def time(model, dense, example, masks):
        calls.append("time")
        return 40.0 / made_up_ms(masks)

    monkeypatch.setattr(time_budget, "measure_latency", measure)
    monkeypatch.setattr(time_budget, "measure_speedup", time)
    monkeypatch.setattr(time_budget, "find_masks", find)
    return calls


class RecordMilliseconds(pl.Callback):
    """What the costs that are made up say of each step's masks."""

    def __init__(self):
        self.ms = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        layers = winograd_layers(pl_module.model)
        self.ms.append(made_up_ms({name: layer.column_mask for name, layer in layers.items()}))


def test_a_speedup_is_reached_on_a_ramp_of_milliseconds(
    made_up_costs, make_classifier, make_trainer, data, capsys
):
    classifier = make_classifier(winograd=LOW_RANK)
    times = RecordMilliseconds()
    callback = ColumnSparsity(speedup=4.0, start=0, end=4, unit="step", every=2)
    make_trainer(max_epochs=2, callbacks=[callback, times]).fit(classifier, datamodule=data)
    whole = 1.0 + len(winograd_layers(classifier)) * (1.44 + 3.6)
    # Half-way the cubic has 7/8 of the way to 10 ms.
    for step, wanted in enumerate([whole] * 2 + [whole - 7 / 8 * (whole - 10)] * 2 + [10.0] * 2):
        assert wanted - 0.15 < times.ms[step] <= wanted + 1e-9, step
    assert made_up_costs == ["measure", "time", "find"]
    assert "4.0" in capsys.readouterr().out.split("ColumnSparsity: ")[2]


def test_the_ramp_ends_where_a_network_that_is_faster_than_its_costs_is_fast_enough(
    made_up_costs, make_classifier, make_trainer, data, monkeypatch
):
    timed = []

    def time(model, dense, example, masks):
        timed.append(made_up_ms(masks))
        faster = 1.25 if len(timed) == 1 else 0.5  # a slow look brings the ramp no lower
        return faster * 40.0 / timed[-1]

    monkeypatch.setattr(time_budget, "measure_speedup", time)
    times = RecordMilliseconds()
    classifier = make_classifier(winograd=LOW_RANK)
    callback = ColumnSparsity(speedup=4.0, start=0, end=8, unit="step", every=1)
    make_trainer(max_epochs=3, callbacks=[callback, times]).fit(classifier, datamodule=data)
    whole = 1.0 + len(winograd_layers(classifier)) * (1.44 + 3.6)
    for step in range(1, 8):
        wanted = whole - (1 - (1 - step / 8) ** 3) * (whole - 1.25 * 10.0)
        assert wanted - 0.15 < times.ms[step] <= wanted + 1e-9, step
    assert times.ms[8] <= 10.0  # the last cut takes what the search finds
    assert len(timed) > 1 and all(b < 0.95 * a for a, b in zip(timed, timed[1:]))


def test_a_speedup_that_is_missed_is_told(
    made_up_costs, make_classifier, make_trainer, data, monkeypatch
):
    def find(model, *args, **kwargs):
        masks = {name: layer.column_mask for name, layer in winograd_layers(model).items()}
        return Found(masks, speedup=3.0)

    monkeypatch.setattr(time_budget, "find_masks", find)
    callback = ColumnSparsity(speedup=4.0, start=0, end=2, unit="step", every=2)
    with pytest.warns(UserWarning, match=r"speedup=4 is missed: .* measured 3\.00x as fast"):
        make_trainer(callbacks=[callback]).fit(make_classifier(winograd=LOW_RANK), datamodule=data)


@pytest.mark.parametrize(("speedup", "told"), [(4.0, True), (0.5, False)])
def test_too_fast_is_told_where_columns_went_for_it(
    made_up_costs, make_classifier, make_trainer, data, monkeypatch, speedup, told
):
    def find(model, *args, **kwargs):  # what the ramp left is enough
        masks = {name: layer.column_mask for name, layer in winograd_layers(model).items()}
        return Found(masks, speedup=1.5 * speedup)

    monkeypatch.setattr(time_budget, "find_masks", find)
    callback = ColumnSparsity(speedup=speedup, start=0, end=3, unit="step", every=1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trainer = make_trainer(max_epochs=2, callbacks=[callback])
        trainer.fit(make_classifier(winograd=LOW_RANK), datamodule=data)
    missed = [w for w in said if f"speedup={speedup:g} is missed" in str(w.message)]
    assert bool(missed) == told


def test_costs_are_measured_once_and_go_on_with_a_checkpoint(
    made_up_costs, make_classifier, make_trainer, data, tmp_path
):
    callback = ColumnSparsity(0.5, budget="time", start=0, end=4, unit="step", every=2)
    trainer = make_trainer(max_epochs=1, callbacks=[callback])
    classifier = make_classifier(winograd=LOW_RANK)
    callback.end = 3
    trainer.fit(classifier, datamodule=data)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    again = ColumnSparsity(0.6, budget="time", start=0, end=5, unit="step", every=2)
    trainer = make_trainer(max_epochs=2, callbacks=[again])
    trainer.fit(classifier, datamodule=data, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert column_sparsity(classifier) == pytest.approx(0.6, abs=1e-3)
    assert made_up_costs == ["measure"]


def test_a_speedup_out_of_reach_ends_the_training(
    made_up_costs, make_classifier, make_trainer, data
):
    callback = ColumnSparsity(speedup=100.0, start=0, end=2, unit="step")
    with pytest.raises(ValueError, match=r"speedup=100\.0: with a tenth of each layer"):
        make_trainer(callbacks=[callback]).fit(make_classifier(winograd=LOW_RANK), datamodule=data)
