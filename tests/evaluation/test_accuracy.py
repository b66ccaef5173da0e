"""Clip-level and video-level accuracy against cases reckoned by hand."""

import math

import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy

from videowino.data.scores import count_wrong
from videowino.evaluation.accuracy import AccuracyMeter, evaluate


def test_video_level_averages_probabilities_not_logits_and_not_votes():
    meter = AccuracyMeter(3)
    # Softmax of the views: (.6, .4, 0), (.6, .4, 0), (.1, .9, 0): votes say class 0, the mean
    # (.433, .567, 0) says class 1.
    views = torch.tensor([[0.6, 0.4, 1e-9], [0.6, 0.4, 1e-9], [0.1, 0.9, 1e-9]]).log()
    meter.update(views[None], torch.tensor([1]), torch.tensor([7]))
    accuracy = meter.compute()
    assert accuracy.video_top1 == 100.0
    assert accuracy.clip_top1 == pytest.approx(100 / 3)
    (prediction,) = accuracy.predictions
    assert (prediction.video, prediction.label) == (7, 1)
    assert prediction.view_classes == (0, 0, 1)
    assert prediction.probabilities.tolist() == pytest.approx([1.3 / 3, 1.7 / 3, 0], abs=1e-6)

    # One view with a huge logit outweighs the rest in a mean of logits, not of probabilities.
    meter = AccuracyMeter(3)
    views = torch.tensor([[50.0, 0, 0], [0, 3.0, 0], [0, 3.0, 0]])
    meter.update(views[None], torch.tensor([1]), torch.tensor([0]))
    assert meter.compute().video_top1 == 100.0


def test_top5_counts_the_five_largest():
    logits = torch.arange(8.0).flip(0).repeat(4, 1, 1)  # classes 0 to 7, in falling order
    meter = AccuracyMeter(8)
    meter.update(logits, torch.tensor([0, 4, 5, 7]), torch.arange(4))
    accuracy = meter.compute()
    assert (accuracy.video_top1, accuracy.video_top5) == (25.0, 50.0)
    assert (accuracy.clip_top1, accuracy.clip_top5) == (25.0, 50.0)
    assert (accuracy.clips, accuracy.videos) == (4, 4)


def test_top5_says_nothing_for_five_classes():
    meter = AccuracyMeter(5)
    meter.update(torch.eye(5)[None, :1], torch.tensor([0]), torch.tensor([0]))
    accuracy = meter.compute()
    assert accuracy.video_top5 is None
    assert accuracy.clip_top5 is None


def test_networks_see_the_same_clips_in_bounded_batches(lookup):
    right = lookup([[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]])
    wrong = lookup([[0, 9.0, 0], [0, 9.0, 0], [0, 0, 9.0]])  # takes class 0 for class 1
    right.train()
    # Two batches, the last one smaller: videos of class 0, 1, then 2, two views each.
    views = [torch.full((2, 1, 1, 1, 1), float(label)) for label in range(3)]
    batches = [
        {"clip": torch.stack(views[:2]), "label": torch.tensor([0, 1]), "video": torch.arange(2)},
        {"clip": views[2][None], "label": torch.tensor([2]), "video": torch.tensor([2])},
    ]
    done = []
    result = evaluate(
        {"right": right, "wrong": wrong}, batches, 3, clips_at_once=3, progress=done.append
    )
    assert result["right"].video_top1 == 100.0
    assert result["wrong"].video_top1 == pytest.approx(200 / 3)
    assert result["wrong"].clip_top1 == pytest.approx(200 / 3)
    assert result["wrong"].clips_changed(result["right"]) == 2
    assert result["right"].clips_changed(result["right"]) == 0
    assert right.batches == wrong.batches == [3, 1, 2]
    assert done == [2, 1]
    assert not right.training


def test_outputs_that_are_not_finite_name_the_network(lookup):
    batch = {"clip": torch.zeros(1, 1, 1, 1, 1, 1), "label": torch.zeros(1).long()}
    batch["video"] = batch["label"]
    with pytest.raises(ValueError, match="gone: the network's outputs are not finite"):
        evaluate({"gone": lookup([[math.nan, 0.0]])}, [batch], 2)


def test_nothing_to_evaluate_on(lookup):
    with pytest.raises(ValueError, match="no test video"):
        evaluate({"a": lookup([[0.0, 0.0]])}, [], 2)


def test_logits_are_averaged_where_that_is_asked_for():
    views = torch.tensor([[50.0, 0, 0], [0, 3.0, 0], [0, 3.0, 0]])
    meter = AccuracyMeter(3, average="logits")
    meter.update(views[None], torch.tensor([1]), torch.tensor([0]))
    accuracy = meter.compute()
    assert accuracy.video_top1 == 0.0  # the one view of a huge logit decides
    assert accuracy.clip_top1 == pytest.approx(200 / 3)
    expected = torch.tensor([50 / 3, 2.0, 0.0]).softmax(0)
    torch.testing.assert_close(accuracy.predictions[0].probabilities, expected)


def test_agrees_with_torchmetrics_on_random_scores():
    torch.manual_seed(0)
    logits, label = torch.randn(40, 3, 12), torch.randint(12, (40,))
    logits[range(40), :, label] += 1.0
    bad = torch.arange(40) % 9 == 0
    meter = AccuracyMeter(12)
    for part in torch.arange(40).split(7):
        meter.update(logits[part], label[part], part, bad[part])
    accuracy = meter.compute()
    probabilities = logits.softmax(-1)
    for k, video, clip in (
        (1, accuracy.video_top1, accuracy.clip_top1),
        (5, accuracy.video_top5, accuracy.clip_top5),
    ):
        metric = MulticlassAccuracy(12, top_k=k, average="micro")
        theirs = metric(count_wrong(probabilities.mean(1), label, bad), label)
        assert video == pytest.approx(100 * float(theirs), rel=1e-6)
        metric = MulticlassAccuracy(12, top_k=k, average="micro")
        views, labels = probabilities.flatten(0, 1), label.repeat_interleave(3)
        theirs = metric(count_wrong(views, labels, bad.repeat_interleave(3)), labels)
        assert clip == pytest.approx(100 * float(theirs), rel=1e-6)
    assert accuracy.unreadable == 5
