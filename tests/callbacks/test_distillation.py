import pytest
import torch

from videowino.callbacks import Distillation
from videowino.callbacks.distillation import distance
from videowino.training.checkpoint import read_checkpoint


@pytest.fixture
def teacher(make_classifier, make_trainer, data, tmp_path):
    trainer = make_trainer(max_epochs=1)
    classifier = make_classifier()
    trainer.fit(classifier, datamodule=data)
    trainer.save_checkpoint(tmp_path / "dense.ckpt")
    return tmp_path / "dense.ckpt"


def test_the_distance_is_the_divergence_at_that_temperature():
    ours, theirs = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    # At temperature 2: softmax (0.7311, 0.2689) against (0.2689, 0.7311);
    # 4 (0.2689 ln(0.2689 / 0.7311) + 0.7311 ln(0.7311 / 0.2689)) = 4 * 0.4622 * 1.
    assert float(distance(ours, theirs, 2.0)) == pytest.approx(4 * 0.46212, rel=1e-4)
    assert float(distance(ours, ours, 3.0)) == pytest.approx(0.0, abs=1e-7)


def test_the_loss_has_the_teachers_part(teacher, make_classifier, make_trainer, data):
    from videowino.training.checkpoint import load_classifier

    losses, seen = [], []
    callback = Distillation(str(teacher), weight=0.25, temperature=2.0)
    own = callback.loss

    def watch(clip, logits, loss):
        seen.append((clip.detach(), logits.detach(), loss.detach()))
        losses.append(own(clip, logits, loss))
        return losses[-1]

    callback.loss = watch
    student = make_classifier(mixup=0.4)
    make_trainer(max_epochs=1, callbacks=[callback]).fit(student, datamodule=data)
    wanted = load_classifier(teacher)
    for loss, (clip, logits, plain) in zip(losses, seen, strict=True):
        expected = 0.75 * plain + 0.25 * distance(logits, wanted(clip).detach(), 2.0)
        assert loss.detach() == pytest.approx(float(expected), rel=1e-4)
    assert student.distill is None  # it goes with the training


def test_the_teacher_does_not_train_and_is_not_saved(
    teacher, make_classifier, make_trainer, data, tmp_path
):
    trainer = make_trainer(max_epochs=1, callbacks=[Distillation(str(teacher))])
    student = make_classifier()
    trainer.fit(student, datamodule=data)
    trainer.save_checkpoint(tmp_path / "student.ckpt")
    saved, dense = read_checkpoint(tmp_path / "student.ckpt"), read_checkpoint(teacher)
    assert saved["state_dict"].keys() == dense["state_dict"].keys()
    assert len(trainer.optimizers[0].param_groups[0]["params"]) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 0.0}, r"weight=0\.0: above 0, up to 1"),
        ({"weight": 1.5}, r"weight=1\.5: above 0, up to 1"),
        ({"temperature": 0.0}, r"temperature=0\.0: above 0"),
    ],
)
def test_bad_arguments_are_named(options, message, teacher):
    with pytest.raises(ValueError, match=message):
        Distillation(str(teacher), **options)


def test_a_teacher_that_is_not_there_or_of_other_classes(
    teacher, make_classifier, make_trainer, data, tmp_path
):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        Distillation(str(tmp_path / "absent.ckpt"))
    trainer = make_trainer(max_epochs=1, callbacks=[Distillation(str(teacher))])
    with pytest.raises(ValueError, match="was trained for . classes, the network for 7"):
        trainer.fit(make_classifier(num_classes=7), datamodule=data)
