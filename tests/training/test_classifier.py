from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from videowino.callbacks import ColumnSparsity
from videowino.training import WinogradConfig
from videowino.winograd import column_sparsity, winograd_layers


def fit_losses(trainer, classifier, data):
    losses = []
    step = classifier.training_step

    def recorded(batch, batch_idx):
        loss = step(batch, batch_idx)
        losses.append(loss.item())
        return loss

    classifier.training_step = recorded
    trainer.fit(classifier, datamodule=data)
    return losses


@pytest.mark.parametrize("winograd", [None, WinogradConfig(rank=4)], ids=["dense", "low_rank"])
def test_training_lowers_the_loss(winograd, make_classifier, make_trainer, data):
    classifier = make_classifier(winograd=winograd, warmup_epochs=1)
    losses = fit_losses(make_trainer(max_epochs=8), classifier, data)
    assert len(losses) == 8 * 3
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])


def test_mixed_precision_trains_and_prunes(make_classifier, make_trainer, data):
    # All layers: oneDNN's bfloat16 weight gradient of a dense 3x3x3 on 2x4x4 is wrong on CPUs.
    classifier = make_classifier(winograd=WinogradConfig(rank=4))
    trainer = make_trainer(max_epochs=8, precision="bf16-mixed", gradient_clip_val=5.0)
    trainer.callbacks.append(ColumnSparsity(start=0.2, end=0.5, every=2))
    losses = fit_losses(trainer, classifier, data)
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    assert column_sparsity(classifier) == pytest.approx(0.5)
    assert {p.dtype for p in classifier.parameters()} == {torch.float32}


def test_swap_keeps_the_function(make_classifier):
    dense = make_classifier().eval()
    swapped = make_classifier(winograd=WinogradConfig(rank=4, exclude=["layer4*"])).eval()
    assert len(winograd_layers(swapped.model)) == 10
    x = torch.randn(2, 3, 4, 16, 16)
    torch.testing.assert_close(swapped(x), dense(x), rtol=1e-4, atol=1e-5)


def test_no_clips_pass_through_the_network(make_classifier):
    """A batch without any has no shape; norms of other processes may wait for this one's."""
    classifier = make_classifier(winograd=WinogradConfig(rank=4))
    data = SimpleNamespace(hparams={"frames": 4, "size": (16, 16)})
    classifier._trainer = SimpleNamespace(datamodule=data)
    logits = classifier(torch.zeros(0))
    assert logits.shape == (0, classifier.hparams["num_classes"])
    (logits.sum() * 0).backward()
    assert all(p.grad is not None and not p.grad.any() for p in classifier.parameters())
    assert torch.equal(classifier(torch.zeros(0, 3, 4, 16, 16)), logits)


def test_the_learning_rate_follows_the_schedule(make_classifier, make_trainer, data):
    rates = []
    classifier = make_classifier(lr=0.1, warmup_epochs=1, winograd=WinogradConfig(rank=2))
    classifier.hparams["factor_lr_scale"] = 2.0

    def record(*args):
        rates.append([g["lr"] for g in classifier.optimizers().param_groups])

    classifier.on_before_optimizer_step = record
    make_trainer(max_epochs=2).fit(classifier, datamodule=data)  # 3 steps an epoch
    table = [1 / 3, 2 / 3, 1.0, 1.0, 0.75, 0.25]
    assert [r[0] for r in rates] == pytest.approx([0.1 * f for f in table])
    assert [r[2] for r in rates] == pytest.approx([0.2 * f for f in table])


def test_milestones_are_epochs(make_classifier, make_trainer, data):
    rates = []
    classifier = make_classifier(lr=0.1, milestones=[1, 2])
    classifier.on_before_optimizer_step = lambda *_: rates.append(
        classifier.optimizers().param_groups[0]["lr"]
    )
    make_trainer(max_epochs=3).fit(classifier, datamodule=data)
    assert rates == pytest.approx([0.1] * 3 + [0.01] * 3 + [0.001] * 3)


def test_accuracy_of_clips_and_of_videos(make_classifier, make_trainer, data):
    classifier = make_classifier()
    # Clip logits made up: video 0's views are right and wrong, the sure one wins; the rest wrong.
    logits = torch.zeros(12, 2, 6)
    label = torch.arange(12) % 6
    wrong = (label + 1) % 6
    logits[torch.arange(12), :, label] = 0.5
    logits[torch.arange(12), :, wrong] = 5.0
    logits[0, 0] = 0.0
    logits[0, 0, label[0]] = 9.0
    logits[0, 1] = 0.0
    logits[0, 1, wrong[0]] = 1.0
    # In video 1 the right class comes last of the six in both views.
    logits[1, :, label[1]] = -1.0
    parts = iter(logits.split(4))
    classifier.video_logits = lambda clip: next(parts)
    (metrics,) = make_trainer().test(classifier, datamodule=data, verbose=False)
    assert metrics["test/clip_top1"] == pytest.approx(1 / 24)
    assert metrics["test/video_top1"] == pytest.approx(1 / 12)
    assert metrics["test/clip_top5"] == pytest.approx(22 / 24)
    assert metrics["test/video_top5"] == pytest.approx(11 / 12)


def test_videos_that_cannot_be_read_are_wrong_whatever_is_said_of_them(
    make_classifier, make_trainer
):
    classifier = make_classifier()
    label = torch.arange(12) % 6
    logits = torch.zeros(12, 2, 6)
    logits[torch.arange(12), :, label] = 20.0
    parts = iter(logits.split(4))
    classifier.video_logits = lambda clip: next(parts)
    samples = [
        {"clip": torch.zeros(1), "label": label[n], "video": n, "unreadable": n < 3}
        for n in range(12)
    ]
    loader = DataLoader(samples, batch_size=4)
    (metrics,) = make_trainer().test(classifier, loader, verbose=False)
    for name in ("clip_top1", "clip_top5", "video_top1", "video_top5"):
        assert metrics[f"test/{name}"] == pytest.approx(9 / 12)
    assert metrics["test/loss"] < 1e-6  # of those that were seen


@pytest.mark.parametrize(
    ("classes", "names"),
    [(2, ["top1"]), (3, ["top1", "top2"]), (5, ["top1", "top4"]), (6, ["top1", "top5"])],
)
def test_top_k_is_capped_and_named_so(classes, names, make_classifier):
    assert list(make_classifier(num_classes=classes).val_clip.keys(keep_base=True)) == names


def test_views_are_evaluated_in_bounded_chunks(make_classifier):
    classifier = make_classifier(clips_at_once=4).eval()
    clip = torch.randn(3, 3, 3, 4, 16, 16)
    sizes = []
    classifier.model.register_forward_pre_hook(lambda m, args: sizes.append(len(args[0])))
    logits = classifier.video_logits(clip)
    assert sizes == [4, 4, 1]
    torch.testing.assert_close(logits, classifier(clip.flatten(0, 1)).unflatten(0, (3, 3)))


def test_predictions_are_averaged_probabilities(make_classifier, make_trainer, data):
    classifier = make_classifier()
    batches = make_trainer().predict(classifier, datamodule=data)
    assert torch.cat([b["video"] for b in batches]).tolist() == list(range(12))
    first = next(iter(data.val_dataloader()))
    with torch.no_grad():
        each = classifier.eval()(first["clip"].flatten(0, 1)).softmax(-1)
    torch.testing.assert_close(batches[0]["probabilities"], each.unflatten(0, (4, 2)).mean(1))


def test_mixup_mixes_clips_and_targets(make_classifier):
    classifier = make_classifier(mixup=0.4)
    seen = {}
    classifier.log = lambda *args, **kwargs: None
    classifier.model = torch.nn.Identity()
    classifier.forward = lambda x: seen.setdefault("x", x).mean((2, 3, 4)) @ torch.ones(3, 6)
    clip = torch.stack([torch.full((3, 4, 16, 16), float(v)) for v in (0, 1)])
    torch.manual_seed(3)
    loss = classifier.training_step({"clip": clip, "label": torch.tensor([0, 5])}, 0)
    share = seen["x"][:, 0, 0, 0, 0]
    assert type(seen["x"]) is torch.Tensor
    assert 0 < share[0] < 1 and share.sum() == pytest.approx(1)
    # All logits of a clip are equal, so the loss is log 6 whatever the targets.
    assert loss.item() == pytest.approx(torch.log(torch.tensor(6.0)).item())


def test_label_smoothing_raises_the_floor(make_classifier):
    batch = {"clip": torch.zeros(2, 3, 4, 16, 16), "label": torch.tensor([0, 5])}
    losses = {}
    for smoothing in (0.0, 0.6):
        classifier = make_classifier(label_smoothing=smoothing)
        classifier.log = lambda *args, **kwargs: None
        classifier.forward = lambda x: torch.eye(6)[[0, 5]] * 30
        losses[smoothing] = classifier.training_step(batch, 0).item()
    # 0.6 of the target is spread over six classes: five sixths of it cost 30 each.
    assert losses == pytest.approx({0.0: 0.0, 0.6: 0.6 * 5 / 6 * 30}, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0}, r"model\.lr=0"),
        ({"optimizer": "adam"}, r"model\.optimizer='adam'"),
        ({"momentum": 1.0}, r"model\.momentum=1\.0"),
        ({"weight_decay": -1}, r"model\.weight_decay=-1"),
        ({"factor_lr_scale": 0}, r"model\.factor_lr_scale=0"),
        ({"label_smoothing": 1.0}, r"model\.label_smoothing=1\.0"),
        ({"warmup_epochs": -1}, r"model\.warmup_epochs=-1"),
        ({"milestones": [0, 3]}, r"model\.milestones=\[0, 3\]: epochs, from 1 on"),
        ({"mixup": -0.1}, r"model\.mixup=-0\.1"),
        ({"clips_at_once": 0}, r"model\.clips_at_once=0"),
        ({"backbone": "r3d18"}, "r3d_18"),
        ({"winograd": WinogradConfig(rank=0)}, "rank=0 is out of range"),
        ({"winograd": WinogradConfig(tile=(2, 9, 4))}, "tile"),
    ],
)
def test_bad_arguments_are_named(options, message, make_classifier):
    with pytest.raises(ValueError, match=message):
        make_classifier(**options)


def test_warmup_longer_than_the_training(make_classifier, make_trainer, data):
    with pytest.raises(ValueError, match="warmup_epochs=2: the warm-up ends after the training"):
        make_trainer(max_epochs=2).fit(make_classifier(warmup_epochs=2), datamodule=data)


def test_milestone_at_the_end_of_the_training(make_classifier, make_trainer, data):
    with pytest.raises(ValueError, match=r"model\.milestones=\[1, 2\].* does not outlast epoch 2"):
        make_trainer(max_epochs=2).fit(make_classifier(milestones=[1, 2]), datamodule=data)


@pytest.mark.parametrize("epochs", [-1, 100])
def test_epochs_are_epochs_where_steps_end_the_training(
    epochs, make_classifier, make_trainer, data
):
    rates = []
    classifier = make_classifier(lr=0.1, warmup_epochs=1, milestones=[2])  # 3 steps an epoch
    classifier.on_before_optimizer_step = lambda *_: rates.append(
        classifier.optimizers().param_groups[0]["lr"]
    )
    make_trainer(max_epochs=epochs, max_steps=8).fit(classifier, datamodule=data)
    assert rates == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_a_dry_run_asks_for_no_schedule(make_classifier, make_trainer, data):
    classifier = make_classifier(warmup_epochs=5, milestones=[20])
    (loss,) = fit_losses(make_trainer(fast_dev_run=True), classifier, data)
    assert loss > 0


def test_endless_training_has_no_schedule(make_classifier, make_trainer, data):
    with pytest.raises(ValueError, match=r"set trainer\.max_epochs or max_steps"):
        make_trainer(max_epochs=-1).fit(make_classifier(), datamodule=data)
