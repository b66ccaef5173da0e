"""Layers that find their fastest algorithm, once for each shape."""

import copy
import pickle
import threading

import pytest
import torch
from torch import nn

import videowino
from tests.deployment.networks import CLIP, Network, trained
from videowino.deployment import tune
from videowino.deployment.convolution import FusedConv3d, tiles_of
from videowino.deployment.linear import FusedLinear
from videowino.deployment.tune import Tuner
from videowino.kernels import native
from videowino.timing import Timing

built = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")


class Told(Tuner):
    """Finds the algorithm it is told to."""

    def __init__(self, wanted, monkeypatch):
        super().__init__(0)
        self.measured = []

        def measure(calls, **_):
            self.measured.append(list(calls))
            return {
                name: Timing(1.0 if wanted in name else 9.0, 0, 0, 1, 1)
                for name, call in calls.items()
                if call() is not None
            }

        monkeypatch.setattr(tune, "alternate", measure)


@built
@pytest.mark.parametrize("wanted", ["direct", "F(4x4x4", "F(2x2x2"])
def test_each_algorithm_computes_the_same(wanted, monkeypatch):
    torch.manual_seed(0)
    conv, x = nn.Conv3d(5, 7, 3, padding=1), torch.randn(2, 5, 6, 9, 9)
    tuner = Told(wanted, monkeypatch)
    layer = FusedConv3d(copy.deepcopy(conv), True, tuner)
    residual = torch.randn(2, 7, 6, 9, 9)
    with torch.no_grad():
        expected = (conv(x) + residual).relu()
    torch.testing.assert_close(layer(x, residual), expected, rtol=1e-4, atol=1e-5)
    assert layer.algorithm.startswith(wanted)
    # Not again for the same; again for other sizes, threads, layouts.
    calls = len(tuner.measured)
    layer(x, residual)
    assert len(tuner.measured) == calls
    layer(x[:1], residual[:1])
    layer(x.to(memory_format=torch.channels_last_3d), residual)
    assert len(tuner.measured) == 3 * calls


@built
def test_layers_of_one_geometry_are_measured_once(monkeypatch):
    tuner = Told("F(2x2x2", monkeypatch)
    x = torch.randn(1, 4, 4, 6, 6)
    layers = [FusedConv3d(nn.Conv3d(4, 4, 3, padding=1), relu, tuner) for relu in (0, 0, 1)]
    counts = []
    for layer in layers:
        layer(x)
        counts.append(len(tuner.measured))
    assert counts[0] == counts[1] < counts[2]


@built
@pytest.mark.parametrize("wanted", ["linear", "product"])
@pytest.mark.parametrize("relu", [False, True])
def test_fully_connected_layers(wanted, relu, monkeypatch):
    torch.manual_seed(0)
    linear = nn.Linear(37, 19)
    layer = FusedLinear(linear, relu, Told(wanted, monkeypatch))
    for x in (torch.randn(3, 37), torch.randn(37), torch.randn(2, 3, 37)):
        with torch.no_grad():
            expected = linear(x).relu() if relu else linear(x)
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
        assert layer.algorithm == (wanted if x.dim() == 2 else "linear")


@pytest.mark.parametrize(
    ("conv", "shape", "tiles"),
    [
        (nn.Conv3d(1, 1, 3, padding=1), (1, 1, 2, 5, 5), {(2, 5, 5), (2, 4, 4), (2, 2, 2)}),
        (nn.Conv3d(1, 1, (1, 3, 3)), (1, 1, 8, 9, 9), {(1, 4, 4), (1, 2, 2)}),
        (nn.Conv3d(1, 1, (3, 1, 1)), (1, 1, 8, 9, 9), {(4, 1, 1), (2, 1, 1)}),
        (nn.Conv3d(1, 1, 3, 2, 1), (1, 1, 8, 8, 8), {(4, 4, 4), (2, 2, 2), (4, 2, 2)}),
        (nn.Conv3d(1, 1, 1), (1, 1, 8, 8, 8), {(1, 1, 1)}),
        (nn.Conv3d(2, 2, 3, groups=2), (1, 2, 8, 8, 8), set()),
        (nn.Conv3d(1, 1, 3, padding="same"), (1, 1, 8, 8, 8), {(4, 4, 4), (2, 2, 2)}),
    ],
)
@built
def test_tiles_worth_a_measurement(conv, shape, tiles):
    found = tiles_of(conv, torch.empty(shape))
    assert tiles <= set(found) and len(found) == len(set(found)) and bool(found) == bool(tiles)
    if conv.kernel_size == (3, 3, 3) and found:
        assert all(m <= n for tile in found for m, n in zip(tile, shape[2:]))


def test_other_batch_and_clip_sizes():
    model = trained(Network())
    deployed = videowino.deploy(model, CLIP, budget=0)
    clips = [CLIP, CLIP[:1], torch.cat([CLIP] * 3), CLIP[..., :17], CLIP[:, :, :1]]
    assert deployed.check(model, clips) < 1e-4


def test_several_threads_at_once():
    model = trained(Network())
    deployed = videowino.deploy(model, CLIP, budget=0)
    shapes = [(1, 3, 4, 16 + size, 20) for size in range(4)] * 3
    failed = []

    def work(shape, seed):
        clip = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        for _ in range(3):
            if deployed.check(model, [clip]) > 1e-4:
                failed.append(shape)

    threads = [threading.Thread(target=work, args=item) for item in zip(shapes, range(12))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(again):
    model = trained(Network())
    other = again(videowino.deploy(model, CLIP, budget=0))
    assert other.check(model, [CLIP]) < 1e-4


def test_moved_to_another_type():
    model = trained(Network())
    deployed = videowino.deploy(model, CLIP, budget=0).double()
    assert deployed.check(model.double(), [CLIP.double()]) < 1e-6


def test_progress_is_told():
    seen = []
    videowino.deploy(trained(Network()), CLIP, budget=0, progress=seen.append)
    assert seen == sorted(seen)
    assert native.library() is None or len(seen) >= 4
