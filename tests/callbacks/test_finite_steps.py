import copy

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision

from videowino.callbacks import EMA, ColumnSparsity, FiniteSteps
from videowino.training import WinogradConfig
from videowino.winograd import column_sparsity

VANILLA = WinogradConfig(parameterization="vanilla", include=["layer1*"])


class Poison(pl.Callback):
    """Clips that are no numbers at some batches; the network after each step."""

    def __init__(self, *batches, value=float("nan")):
        self.batches, self.value, self.seen, self.states = batches, value, 0, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.seen in self.batches:
            batch["clip"][0, 0, 0, 0, 0] = self.value
        self.seen += 1

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.states.append(copy.deepcopy(pl_module.state_dict()))


def same(a, b):
    keys = [key for key in a if "column" not in key and "score" not in key]
    return all(torch.equal(a[key], b[key]) for key in keys)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_step_changes_nothing(value, make_classifier, make_trainer, data, capsys):
    poison, guard = Poison(1, 3, value=value), FiniteSteps()
    trainer = make_trainer(callbacks=[poison, guard])
    trainer.fit(make_classifier(optimizer="adamw", lr=0.001), datamodule=data)
    states = poison.states
    assert same(states[1], states[0]) and same(states[3], states[2])
    assert not same(states[2], states[1]) and not same(states[5], states[4])
    assert all(torch.isfinite(value).all() for value in states[-1].values())
    assert guard.skipped == 2 and trainer.global_step == 6
    assert capsys.readouterr().out.splitlines() == [
        f"step {step}: the loss is not finite; the step is skipped (1 in a row, 3 stop the "
        "training)"
        for step in (1, 3)
    ]


def test_an_accumulated_step_is_skipped_whole(make_classifier, make_trainer, data):
    poison, guard = Poison(3), FiniteSteps()  # the second step's second batch
    trainer = make_trainer(callbacks=[poison, guard], accumulate_grad_batches=2, max_epochs=4)
    trainer.fit(make_classifier(), datamodule=data)
    assert guard.skipped == 1
    # Batches 0 and 1, then 2 (the last of its epoch) alone, then 3 and 4, ...
    assert same(poison.states[4], poison.states[2])
    assert all(torch.isfinite(value).all() for value in poison.states[-1].values())


def test_three_in_a_row_stop_and_name_the_place(make_classifier, make_trainer, data):
    classifier = make_classifier()
    before = copy.deepcopy(classifier.state_dict())
    trainer = make_trainer(callbacks=[Poison(0, 1, 2), FiniteSteps()])
    with pytest.raises(ValueError, match=r"step 2: the loss is not finite, 3 times.*clips"):
        trainer.fit(classifier, datamodule=data)
    weights = [name for name, _ in classifier.named_parameters()]
    assert all(torch.equal(classifier.state_dict()[name], before[name]) for name in weights)


class Burst(pl.Callback):
    """A layer that divides by zero."""

    def on_train_start(self, trainer, pl_module):
        layer = pl_module.model.get_submodule("layer2.0.conv1.1")
        layer.register_forward_hook(lambda module, inputs, output: output / output.new_zeros(()))


def test_the_first_layer_is_named(make_classifier, make_trainer, data):
    trainer = make_trainer(callbacks=[Burst(), FiniteSteps(most=1)])
    with pytest.raises(ValueError, match=r"first that is not: the output of layer2\.0\.conv1\.1"):
        trainer.fit(make_classifier(), datamodule=data)


class Gradient(pl.Callback):
    """A gradient that is no number, of a loss that is one."""

    def on_after_backward(self, trainer, pl_module):
        pl_module.model.fc.bias.grad[0] = float("inf")


def test_so_is_a_gradient(make_classifier, make_trainer, data, capsys):
    trainer = make_trainer(callbacks=[Gradient(), FiniteSteps(most=2)])
    with pytest.raises(ValueError, match=r"gradient is not finite, 2 times.*gradient of fc\.bias"):
        trainer.fit(make_classifier(), datamodule=data)
    assert "step 0: the gradient is not finite" in capsys.readouterr().out


def test_pruning_and_averaging_go_on(make_classifier, make_trainer, data):
    callbacks = [ColumnSparsity(0.5, start=0.1, end=0.6, every=1), EMA(0.5)]
    guard = FiniteSteps()
    classifier = make_classifier(winograd=VANILLA, optimizer="adamw", lr=0.001)
    make_trainer(callbacks=[Poison(1, 4), *callbacks, guard]).fit(classifier, datamodule=data)
    assert guard.skipped == 2 and column_sparsity(classifier) == 0.5
    assert all(torch.isfinite(value).all() for value in classifier.state_dict().values())


def test_its_count_goes_along_with_a_checkpoint():
    guard, other = FiniteSteps(), FiniteSteps()
    guard.skipped, guard._in_a_row = 5, 2
    other.load_state_dict(guard.state_dict())
    assert (other.skipped, other._in_a_row) == (5, 2)


def test_at_least_one():
    with pytest.raises(ValueError, match="most=0: at least 1"):
        FiniteSteps(most=0)


@pytest.mark.parametrize("granularity", ["column", "block"])
def test_its_place_among_callbacks_does_not_matter(
    granularity, make_classifier, make_trainer, data
):
    losses = []
    for first in (True, False):
        pruning = ColumnSparsity(0.5, start=0.5, end=0.8, every=1, granularity=granularity)
        guard = FiniteSteps()
        callbacks = [guard, pruning] if first else [pruning, guard]
        classifier = make_classifier(winograd=VANILLA)
        make_trainer(callbacks=[Poison(1), *callbacks]).fit(classifier, datamodule=data)
        assert guard.skipped == 1 and column_sparsity(classifier, granularity) == 0.5
        losses.append(classifier.state_dict())
    assert all(torch.equal(losses[0][key], value) for key, value in losses[1].items())


class Infinite(pl.Callback):
    """A loss that is no number, of gradients that are."""

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == 1:
            loss.data.fill_(float("inf"))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_beside_a_gradient_scaler(accumulate, make_classifier, make_trainer, data):
    keep, guard = Poison(), FiniteSteps()
    trainer = make_trainer(
        callbacks=[Infinite(), keep, ColumnSparsity(0.5, start=0.2, end=0.6, every=1), guard],
        plugins=[MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=8.0))],
        accumulate_grad_batches=accumulate,
        max_epochs=4,
    )
    classifier = make_classifier(winograd=VANILLA)
    trainer.fit(classifier, datamodule=data)
    last = accumulate  # batches of three an epoch: that of the first step, and of the second
    assert guard.skipped == 1 and column_sparsity(classifier) == 0.5
    weights = [name for name, _ in classifier.named_parameters() if "layer1" not in name]
    states = keep.states
    assert all(torch.equal(states[last][n], states[last - 1][n]) for n in weights)
    assert not all(torch.equal(states[last + 2][n], states[last][n]) for n in weights)
