import copy

import pytest
import pytorch_lightning as pl
import torch

from videowino.callbacks import EMA, ColumnSparsity, EpochSeed
from videowino.callbacks.ema import update_average
from videowino.training import WinogradConfig, load_classifier
from videowino.winograd import winograd_layers

LOW_RANK = WinogradConfig(rank=2, include=["layer1*"])


class Keep(pl.Callback):
    """The network's state after each step."""

    def __init__(self):
        self.states, self.losses = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.states.append(copy.deepcopy(pl_module.state_dict()))
        self.losses.append(outputs["loss"].item())


def test_the_average_is_exponential(make_classifier, make_trainer, data):
    keep, classifier = Keep(), make_classifier()
    make_trainer(callbacks=[keep, EMA(decay=0.75)]).fit(classifier, datamodule=data)
    final = classifier.state_dict()
    for key in ("model.fc.weight", "model.stem.1.running_var"):
        expected = keep.states[0][key]
        for state in keep.states[1:]:
            expected = 0.75 * expected + 0.25 * state[key]
        torch.testing.assert_close(final[key], expected)
    assert final["model.stem.1.num_batches_tracked"] == len(keep.states) == 6


def test_averaging_can_start_late(make_classifier, make_trainer, data):
    keep, classifier = Keep(), make_classifier()
    ema = EMA(decay=0.5, start=0.5)  # of six steps: the fourth is the first averaged
    make_trainer(callbacks=[keep, ema]).fit(classifier, datamodule=data)
    third, *rest = [state["model.fc.weight"] for state in keep.states[2:]]
    expected = third
    for state in rest:
        expected = 0.5 * expected + 0.5 * state
    torch.testing.assert_close(classifier.state_dict()["model.fc.weight"], expected)


def test_masks_are_followed_not_averaged(make_classifier, make_trainer, data):
    seen = []

    class AtValidation(pl.Callback):
        def on_validation_batch_start(self, trainer, pl_module, *args, **kwargs):
            for layer in winograd_layers(pl_module).values():
                seen.append(layer.column_sparsity)
                u = layer.winograd_weight()
                assert (u[..., ~layer.column_mask] == 0).all()
                assert (u[..., layer.column_mask] != 0).any(0).any(0).all()

    classifier = make_classifier(winograd=LOW_RANK)
    sparsity = ColumnSparsity(start=0.2, end=0.6, every=2)
    callbacks = [EMA(0.9), sparsity, AtValidation()]
    make_trainer(max_epochs=6, callbacks=callbacks).fit(classifier, datamodule=data)
    # Cuts at steps 6, 8, 10 and 11 of 18; the validation after step 9 sees 66 of 144 pruned.
    assert {round(s * 144) for s in seen} == {0, 66, 72}
    for layer in winograd_layers(classifier).values():
        assert layer.column_mask.dtype == torch.bool
        assert layer.columns_kept == int(layer.column_mask.sum()) == 72
        assert bool(layer.compensated)


def test_kept_columns_of_the_average_make_up_for_the_pruned(make_classifier):
    live, average = make_classifier(winograd=LOW_RANK), make_classifier(winograd=LOW_RANK)
    ema = EMA(0.9)
    ema._average_model = torch.nn.Module()
    ema._average_model.module = average
    before = {n: x.winograd_weight() for n, x in winograd_layers(average).items()}
    for layer in winograd_layers(live).values():
        mask = torch.ones(144, dtype=torch.bool)
        mask[::3] = False
        layer.set_column_mask(mask)
    ema._follow_masks(live)
    for name, layer in winograd_layers(average).items():
        kept = layer.winograd_weight()[..., mask]
        torch.testing.assert_close(kept, winograd_layers(live)[name].winograd_weight()[..., mask])
        assert not torch.allclose(kept, before[name][..., mask], rtol=0.01)


def test_equal_networks_average_to_themselves(make_classifier):
    one = make_classifier(winograd=LOW_RANK)
    two = copy.deepcopy(one)
    update_average(one, two, decay=0.999)
    for got, want in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(got, want)


def checkpoint_size(path, make_classifier, make_trainer, data, callbacks):
    # Wide, so that weights outweigh everything else in the file.
    winograd = WinogradConfig(rank=1)
    classifier = make_classifier(width=0.5, winograd=winograd)
    trainer = make_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trainer.callbacks += callbacks
    trainer.fit(classifier, datamodule=data)
    trainer.save_checkpoint(path)
    frozen = sum(x.weight.numel() for x in winograd_layers(classifier).values())
    trained = sum(p.numel() for p in classifier.parameters())
    return path.stat().st_size / 4, frozen, trained


def test_frozen_filters_are_stored_once(make_classifier, make_trainer, data, tmp_path):
    args = (make_classifier, make_trainer, data)
    plain, frozen, trained = checkpoint_size(tmp_path / "plain.ckpt", *args, [])
    average, _, _ = checkpoint_size(tmp_path / "ema.ckpt", *args, [EMA(0.9)])
    # Frozen once, trained twice (with momentum); the average adds the trained ones once more.
    assert frozen > 2 * trained
    assert plain == pytest.approx(frozen + 2 * trained, rel=0.05)
    assert average == pytest.approx(frozen + 3 * trained, rel=0.05)


def test_the_average_is_what_is_loaded(make_classifier, make_trainer, data, tmp_path):
    classifier = make_classifier(winograd=LOW_RANK)

    class Save(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.save_checkpoint(tmp_path / "x.ckpt")

    callbacks = [EMA(0.9), ColumnSparsity(start=0.2, end=0.6, every=1), Save()]
    make_trainer(callbacks=callbacks).fit(classifier, datamodule=data)
    loaded = load_classifier(tmp_path / "x.ckpt")
    for got, want in zip(
        loaded.state_dict().values(), classifier.state_dict().values(), strict=True
    ):
        assert torch.equal(got, want)
    x = torch.randn(2, 3, 4, 16, 16)
    torch.testing.assert_close(loaded(x), classifier.eval()(x))


def test_resumed_training_equals_uninterrupted(make_classifier, make_trainer, data, tmp_path):
    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "cut.ckpt")
                trainer.should_stop = True

    def run(ckpt_path=None, extra=()):
        keep, classifier = Keep(), make_classifier(winograd=LOW_RANK)
        sparsity = ColumnSparsity(start=0.2, end=0.8, every=2)
        callbacks = [EpochSeed(1), sparsity, EMA(0.8), keep, *extra]
        trainer = make_trainer(max_epochs=4, callbacks=callbacks)
        trainer.fit(classifier, datamodule=data, ckpt_path=ckpt_path)
        return classifier, keep

    whole, expected = run()
    _, first = run(extra=[Stop()])
    resumed, rest = run(tmp_path / "cut.ckpt")
    assert first.losses + rest.losses == expected.losses
    for got, want in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"decay": 1.0}, r"decay=1\.0: from 0"), ({"start": 1.0}, r"start=1\.0: a share")],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        EMA(**options)


@pytest.mark.parametrize("parameterization", ["vanilla", "low_rank"])
def test_sixteen_bits_are_averaged_in_float32(
    parameterization, make_classifier, make_trainer, data, tmp_path
):
    rank = {"rank": 2} if parameterization == "low_rank" else {}
    winograd = WinogradConfig(parameterization, include=["layer1*"], **rank)
    classifier = make_classifier(winograd=winograd, lr=0.001)
    ema, pruning = EMA(decay=0.75), ColumnSparsity(0.5, start=0.2, end=0.6, every=1)
    trainer = make_trainer(callbacks=[pruning, ema], precision="bf16-true")
    # oneDNN (PyTorch 2.13) gives small bfloat16 filters gradients of memory never written.
    with torch.backends.mkldnn.flags(enabled=False):
        trainer.fit(classifier, datamodule=data)
    assert {p.dtype for p in ema._average.parameters()} == {torch.float32}
    assert {p.dtype for p in classifier.parameters()} == {torch.bfloat16}
    for ours, theirs in zip(ema._average.parameters(), classifier.parameters(), strict=True):
        assert torch.equal(ours.to(torch.bfloat16), theirs) and bool(torch.isfinite(ours).all())
