"""Columns pruned by blocks of channels in training: schedules, scores, resuming, averages."""

import pytest
import pytorch_lightning as pl  # noqa: I001 - callbacks came first, through the conftest
import torch

from videowino.callbacks import EMA, ColumnSparsity
from videowino.training import WinogradConfig
from videowino.training.checkpoint import load_classifier
from videowino.winograd import column_sparsity, winograd_layers
from videowino.winograd.blocks import to_channels

# 32 channels, two blocks of 144 columns each; three steps an epoch.
LOW_RANK = WinogradConfig(rank=2, include=["layer1.0*"])


class Record(pl.Callback):
    def __init__(self):
        self.sparsity, self.masks = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.sparsity.append(column_sparsity(pl_module, "block"))
        layers = winograd_layers(pl_module).items()
        self.masks.append({name: layer.kept_by_block().clone() for name, layer in layers})


@pytest.fixture
def make_wide(make_classifier):
    return lambda **options: make_classifier(**{"width": 0.5, "winograd": LOW_RANK} | options)


@pytest.mark.parametrize("score", ["taylor", "factor", "magnitude", "reconstruction"])
@pytest.mark.parametrize("budget", ["uniform", "global"])
def test_cubic_ramp(score, budget, make_wide, make_trainer, data):
    record = Record()
    callback = ColumnSparsity(
        0.5, score=score, budget=budget, granularity="block", start=0.25, end=0.75, every=3
    )
    trainer = make_trainer(max_epochs=4, callbacks=[callback, record])
    classifier = make_wide()
    trainer.fit(classifier, datamodule=data)
    # 12 steps, cuts at 6 and 9: the cubic has reached 7/8 and 1 of half of 2 * 288 blocks.
    counts = [round(576 * sparsity) for sparsity in record.sparsity]
    assert counts == [0] * 6 + [252] * 3 + [288] * 3
    for before, after in zip(record.masks, record.masks[1:]):
        assert not any((after[name] & ~before[name]).any() for name in before)
    layers = winograd_layers(classifier).values()
    assert any(layer.block_mask is not None for layer in layers)
    assert all(layer.block_gate is None for layer in layers)
    assert all(
        (layer.block_score is None) == (score in "magnitude reconstruction") for layer in layers
    )
    assert trainer.callback_metrics["column_sparsity"] == pytest.approx(0.5)


def test_the_blocks_with_the_lowest_gathered_score_go(make_wide, make_trainer, data):
    classifier, seen = make_wide(lr=1e-6), {}

    class Watch(pl.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            for name, layer in winograd_layers(pl_module).items():
                if layer.block_gate is not None:
                    gradient = layer.block_gate.grad.clone()
                    torch.testing.assert_close(
                        gradient.sum(0), layer.gate * layer.gate.grad, rtol=1e-3, atol=1e-5
                    )
                    seen.setdefault(name, []).append(gradient)

    callback = ColumnSparsity(
        schedule="one_shot", start=3, unit="step", momentum=0.5, granularity="block"
    )
    make_trainer(max_epochs=2, callbacks=[Watch(), callback]).fit(classifier, datamodule=data)
    for name, layer in winograd_layers(classifier).items():
        first, second, third = (x.square() for x in seen[name])
        score = (0.125 * first + 0.25 * second + 0.5 * third).flatten()
        kept = score.argsort(descending=True, stable=True)[:144].sort().values
        assert torch.equal(layer.block_mask.flatten().nonzero().flatten(), kept)


@pytest.mark.parametrize("compensate", [False, True])
@pytest.mark.parametrize("parameterization", ["vanilla", "low_rank", "factored"])
def test_pruned_weights_do_not_drift(parameterization, compensate, make_wide, make_trainer, data):
    winograd = WinogradConfig(parameterization, rank=2, include=["layer1.0*"])
    classifier = make_wide(winograd=winograd, weight_decay=0.1)
    callback = ColumnSparsity(
        schedule="one_shot", start=3, unit="step", compensate=compensate, granularity="block"
    )
    make_trainer(max_epochs=3, callbacks=[callback]).fit(classifier, datamodule=data)
    for layer in winograd_layers(classifier).values():
        pruned = to_channels(~layer.block_mask, 32)
        assert layer.winograd_weight()[:, pruned].abs().max() == 0
        if parameterization == "vanilla":
            assert layer.weight[:, pruned].abs().max() == 0
            assert layer.weight[:, ~pruned].abs().min() > 0


def test_a_resumed_run_and_its_average(make_wide, make_trainer, data, tmp_path):
    def run(epochs, **fit):
        classifier = make_wide()
        callback = ColumnSparsity(0.5, granularity="block", start=2, end=7, unit="step", every=2)
        trainer = make_trainer(max_epochs=epochs, callbacks=[callback, EMA(0.9)])
        trainer.fit(classifier, datamodule=data, **fit)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return classifier

    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "cut.ckpt")

    whole = make_wide()
    callback = ColumnSparsity(0.5, granularity="block", start=2, end=7, unit="step", every=2)
    trainer = make_trainer(max_epochs=4, callbacks=[callback, EMA(0.9), Stop()])
    trainer.fit(whole, datamodule=data)
    resumed = run(4, ckpt_path=tmp_path / "cut.ckpt")
    for ours, theirs in zip(
        winograd_layers(whole).values(), winograd_layers(resumed).values(), strict=True
    ):
        assert torch.equal(ours.block_mask, theirs.block_mask)
        assert torch.equal(ours.block_score, theirs.block_score)
    loaded = load_classifier(tmp_path / "4.ckpt")
    clip = torch.randn(1, 3, 4, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(clip), resumed.eval()(clip))
    masks = [layer.block_mask for layer in winograd_layers(loaded).values()]
    assert all(mask is not None for mask in masks)
    further = ColumnSparsity(0.6, granularity="column")
    with pytest.raises(ValueError, match="granularity='column': .*pruned by blocks"):
        make_trainer(callbacks=[further]).fit(loaded, datamodule=data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"granularity": "row"}, "granularity='row': one of column, block"),
        ({"granularity": "block", "budget": "time"}, "budget='time': times are measured of whole"),
        ({"granularity": "block", "speedup": 2.0}, "speedup=2.0: times are measured of whole"),
        ({"granularity": "block", "schedule": "regrow"}, "schedule='regrow': whole columns"),
    ],
)
def test_what_does_not_go_together(options, message):
    with pytest.raises(ValueError, match=message):
        ColumnSparsity(**options)
