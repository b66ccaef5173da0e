"""A whole test run on made-up clips: what the network is given, in which passes."""

import pytest
import torch
from torch import nn

from tests.data.conftest import STEP, write_counting, write_lists
from videowino.data import VideoFolder
from videowino.evaluation.protocol_run import run_protocols
from videowino.evaluation.protocols import Protocol


class Brightness(nn.Module):
    """Class 1 for clips whose first frame is above a grey level."""

    def __init__(self, level):
        super().__init__()
        self.level, self.passes, self.levels = level, [], []

    def forward(self, x):
        first = 255 * x[:, 0, 0].mean((1, 2))
        self.passes.append(len(x))
        self.levels += first.tolist()
        return torch.stack([torch.zeros_like(first), first - self.level], 1)


@pytest.fixture
def data(tmp_path):
    """Five test videos of frames 10 grey levels apart, of different sizes and lengths."""
    for label, name in enumerate(("Dark", "Light")):
        for group in (1, 2, 3):
            path = tmp_path / "videos" / name / f"v_{name}_g{group:02d}_c01.avi"
            write_counting(path, frames=5 + 4 * label, size=(16 + 8 * group, 32))
    write_lists(tmp_path, test_groups=(2, 3))
    options = {"frames": 4, "size": (16, 16), "resize": None, "num_workers": 0, "batch_size": 1}
    found = VideoFolder(root=str(tmp_path), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), **options)
    found.setup("test")
    return found


def test_accuracies_by_hand_and_passes_of_one_size(data):
    # The middle clip starts at frame 0 of 5, and 2 of 9; three clips at 0, 0, 1 and at 0, 2, 5.
    model = Brightness(STEP * 1.5)
    done = []
    protocols = [Protocol(1, 1), Protocol(3, 1)]
    found = run_protocols(model, data, protocols, batch_size=3, progress=done.append)
    one, three = (found.accuracies[p] for p in protocols)
    assert (one.video_top1, one.clip_top1, one.clips, one.videos) == (100.0, 100.0, 4, 4)
    assert three.clip_top1 == pytest.approx(100 * (6 + 4) / 12)
    assert three.video_top1 == 100.0  # 35 above the level outweighs 15 below it
    assert [p.view_classes for p in three.predictions] == [(0, 0, 0)] * 2 + [(0, 1, 1)] * 2
    assert done == [1, 1, 1, 1]
    assert model.passes == [3, 3, 3, 3, 3, 3, 1]  # one to warm up, 16 views
    assert [round(level / STEP) for level in model.levels[3:]][:4] == [0, 0, 0, 1]
    assert found.clip_shape == (3, 4, 16, 16)
    assert (found.throughput.clips, found.throughput.batch_size) == (16, 3)
    assert 0 < found.throughput.with_loading < found.throughput.network


def test_a_deployed_networks_last_pass_is_filled_up(data):
    model = Brightness(STEP * 1.5)
    found = run_protocols(model, data, [Protocol(3, 1)], batch_size=8, same_size=True)
    assert model.passes == [8, 8, 8]  # one to warm up, 12 views
    assert found.accuracies[Protocol(3, 1)].clips == 12
    assert found.throughput.clips == 12


def test_what_a_mean_is_of(data):
    # Two of the three views of the last videos are 0.5 and 3.5 levels above, one 1.5 below.
    accuracies = {}
    for average in ("probabilities", "logits"):
        model = nn.Sequential(Brightness(STEP * 1.5), Scaled())
        found = run_protocols(model, data, [Protocol(3, 1)], average=average)
        accuracies[average] = found.accuracies[Protocol(3, 1)].predictions[-1].probabilities
    logits = torch.tensor([[0.0, -1.5], [0.0, 0.5], [0.0, 3.5]])
    torch.testing.assert_close(
        accuracies["probabilities"], logits.softmax(1).mean(0), atol=0.02, rtol=0
    )
    torch.testing.assert_close(accuracies["logits"], logits.mean(0).softmax(0), atol=0.02, rtol=0)


class Scaled(nn.Module):
    def forward(self, x):
        return x / STEP


def test_outputs_that_are_not_finite(data):
    class Gone(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 2), float("nan"))

    with pytest.raises(ValueError, match="the network's outputs are not finite"):
        run_protocols(Gone(), data, [Protocol()])
