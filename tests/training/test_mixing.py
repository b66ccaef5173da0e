"""Mixed batches: the same share or box in all frames, and targets by how much is to be seen."""

import pytest
import torch

from videowino.training.mixing import Mixing

SHAPE = (4, 3, 5, 16, 16)


def batch():
    """Clip i is i everywhere."""
    return torch.arange(4.0).view(4, 1, 1, 1, 1).expand(SHAPE).contiguous(), torch.arange(4)


def test_cutmix_takes_the_same_box_in_all_frames():
    mix, boxes = Mixing(0.0, 1.0, num_classes=6), set()
    for seed in range(20):
        torch.manual_seed(seed)
        clip, label = batch()
        mixed, target = mix(clip, label)
        assert type(mixed) is torch.Tensor and mixed.shape == SHAPE
        assert (mixed == mixed[:, :1, :1]).all()
        for i in range(4):
            other = (i - 1) % 4
            taken = mixed[i, 0, 0] == other
            assert (taken | (mixed[i, 0, 0] == i)).all()
            rows, columns = taken.any(1).sum(), taken.any(0).sum()
            assert taken.sum() == rows * columns  # a rectangle
            share = taken.float().mean()
            expected = torch.zeros(6)
            expected[i] += 1 - share
            expected[other] += share
            torch.testing.assert_close(target[i], expected)
            boxes.add(round(float(share), 3))
        assert torch.equal(clip, batch()[0])
    assert len(boxes) > 5


def test_mixup_takes_one_share():
    torch.manual_seed(0)
    mixed, target = Mixing(0.8, 0.0, num_classes=6)(*batch())
    assert (mixed == mixed[:, :1, :1, :1, :1]).all()
    share = target[1, 1]
    assert 0 < share < 1
    torch.testing.assert_close(mixed[1, 0, 0, 0, 0], share)  # share of clip 1, the rest of clip 0
    torch.testing.assert_close(target.sum(1), torch.ones(4))


def test_both_are_a_choice_for_each_batch():
    mix, cut = Mixing(0.8, 0.8, num_classes=4), 0
    for seed in range(100):
        torch.manual_seed(seed)
        mixed, _ = mix(*batch())
        cut += bool((mixed == mixed.round()).all())
    assert 35 <= cut <= 65


def test_training_with_cutmix(make_classifier, make_trainer, data):
    classifier = make_classifier(mixup=0.4, cutmix=1.0)
    make_trainer(max_epochs=1).fit(classifier, datamodule=data)
    assert "train/clip_top1" not in classifier.trainer.callback_metrics
    assert classifier.trainer.callback_metrics["train/loss"] > 0


def test_cutmix_out_of_range(make_classifier):
    with pytest.raises(ValueError, match=r"model\.cutmix=-1"):
        make_classifier(cutmix=-1)
