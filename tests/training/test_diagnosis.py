import pytest
import torch
from torch import nn

from videowino.surgery import convert
from videowino.training.diagnosis import _look as look
from videowino.training.diagnosis import first_not_finite


def test_weights_come_before_outputs(make_classifier, make_trainer):
    classifier, clip = make_classifier(), torch.zeros(2, 3, 4, 16, 16)
    trainer = make_trainer()
    assert first_not_finite(trainer, classifier, clip) is None
    with torch.no_grad():
        classifier.model.fc.weight[0, 0] = float("nan")
    assert first_not_finite(trainer, classifier, clip) == "the weight fc.weight"
    clip[0, 0, 0, 0, 0] = float("inf")
    assert first_not_finite(trainer, classifier, clip).startswith("the clips themselves")


@pytest.mark.parametrize(("tile", "advice"), [((2, 4, 4), "[1, 2, 2]"), ((2, 2, 2), "[1, 1, 1]")])
def test_what_float16_cannot_hold(tile, advice):
    model = nn.Sequential(nn.Conv3d(4, 4, 3, padding=1))
    convert(model, parameterization="vanilla", tile=tile)
    found: list[str] = []
    model[0].register_forward_hook(look(found, "conv"))
    with torch.no_grad():
        model[0](torch.full((1, 4, 4, 8, 8), 60000.0))
        assert found == []  # float32 holds it
        model[0].half()
        model[0].bias.fill_(60000.0)
        model[0](torch.full((1, 4, 4, 8, 8), 60000.0, dtype=torch.float16))
    (text,) = found
    assert "the output of conv (WinogradConv3d F(" in text and "float16 cannot hold" in text
    assert "bf16-mixed" in text and f"--model.winograd.tile {advice}" in text


def test_all_processes_compute_where_norms_wait_for_each_other(
    make_classifier, make_trainer, monkeypatch
):
    passes = []
    monkeypatch.setattr(
        "videowino.training.classifier.VideoClassifier.forward",
        lambda self, x: passes.append(len(x)),
    )
    classifier, trainer = make_classifier(), make_trainer()
    clip = torch.full((2, 3, 4, 16, 16), float("nan"))
    assert first_not_finite(trainer, classifier, clip).startswith("the clips themselves")
    assert passes == [2]
    assert first_not_finite(trainer, classifier, clip[:0]) is None
    assert passes == [2]  # nobody waits, and norms want clips
    monkeypatch.setattr("videowino.training.diagnosis.is_synchronized", lambda module: True)
    assert first_not_finite(trainer, classifier, clip[:0]) is None
    assert passes == [2, 0]


def test_float16_weights_are_told_of_other_precisions(make_classifier, make_trainer):
    classifier = make_classifier().half()
    with torch.no_grad():
        classifier.model.fc.weight[0, 0] = float("nan")
    found = first_not_finite(make_trainer(), classifier, torch.zeros(2, 3, 4, 16, 16).half())
    assert found.startswith("the weight fc.weight, which is float16; train with --trainer")
