"""The call that a layer keeps ready is used while, and only while, it computes the same."""

import pickle
import threading
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from videowino.kernels import native
from videowino.winograd import WinogradConv3d, layers

pytestmark = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")
PARAMETERIZATIONS = {"spatial": None, "vanilla": None, "low_rank": 4, "factored": 27}


def layer_of(parameterization="spatial"):
    torch.manual_seed(0)
    conv = nn.Conv3d(8, 12, 3, padding=1)
    rank = PARAMETERIZATIONS[parameterization]
    return WinogradConv3d.from_conv(conv, parameterization=parameterization, rank=rank).eval()


@pytest.fixture
def calls(monkeypatch):
    """Counts the convolutions that go the long way."""
    counted = []
    real = layers.winograd_conv3d
    monkeypatch.setattr(
        layers, "winograd_conv3d", lambda *a, **k: (counted.append(1), real(*a, **k))[1]
    )
    return counted


def fresh(layer, x):
    """What a copy computes, in which nothing is kept."""
    return deepcopy(layer)(x)


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("size", [(1, 8, 4, 6, 6), (2, 8, 8, 60, 60)])
def test_the_second_call_is_ready(parameterization, layout, size, calls):
    layer = layer_of(parameterization)
    with torch.no_grad():
        layer(torch.randn(size).contiguous(memory_format=layout))
        x = torch.randn(size).contiguous(memory_format=layout)
        expected = fresh(layer, x)
        del calls[:]
        y = layer(x)
    assert calls == []
    assert torch.equal(y, expected)
    assert y.is_contiguous(memory_format=layout) and not y.requires_grad


def replace(name):
    def change(layer):
        setattr(layer, name, nn.Parameter(getattr(layer, name) * 2))

    return change


def swap_data(layer):
    layer.weight.data = layer.weight.data * 2


def other_mask(layer):
    layer.set_column_mask(torch.arange(layer.columns) % 2 == 0)


def sixteen(layer):
    layer.weight_bits = 16


def parametrized(layer):
    parametrize.register_parametrization(layer, "weight", nn.Tanh())


CHANGES = {
    "weight in place": lambda layer: layer.weight.mul_(2),
    "weight behind autograd's back": lambda layer: layer.weight.data.mul_(2),
    "weight's memory": swap_data,
    "weight replaced": replace("weight"),
    "one gate behind autograd's back": lambda layer: layer.gate.data[3:4].mul_(2),
    "gate replaced": replace("gate"),
    "bias in place": lambda layer: layer.bias.mul_(2),
    "bias behind autograd's back": lambda layer: layer.bias.data.mul_(2),
    "bias replaced": replace("bias"),
    "bias gone": lambda layer: layer.register_parameter("bias", None),
    "mask": other_mask,
    "sixteen bits": sixteen,
    "parametrized": parametrized,
    "loaded": lambda layer: layer.load_state_dict(layer_of("spatial").double().state_dict()),
    "threads": lambda layer: torch.set_num_threads(2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change):
    layer, x = layer_of(), torch.randn(1, 8, 4, 6, 6)
    threads = torch.get_num_threads()
    try:
        with torch.no_grad():
            layer(x), layer(x)
            CHANGES[change](layer)
            expected = fresh(layer, x)
            for _ in range(3):
                assert torch.equal(layer(x), expected)
    finally:
        torch.set_num_threads(threads)


def test_a_parametrization_is_computed_at_each_call():
    """Its weight is another tensor each time, made of one that this layer does not hold."""
    layer, x = layer_of(), torch.randn(1, 8, 4, 6, 6)
    parametrized(layer)
    with torch.no_grad():
        layer(x), layer(x)
        layer.parametrizations.weight.original.mul_(2)
        assert torch.equal(layer(x), fresh(layer, x))


@pytest.mark.parametrize(
    "other",
    [
        lambda x: torch.randn(2, 8, 4, 6, 6),
        lambda x: x.to(memory_format=torch.channels_last_3d),
        lambda x: x.bfloat16(),
        lambda x: x.double(),
        lambda x: torch.randn(1, 8, 4, 6, 12)[..., ::2],
        lambda x: x[0],
    ],
    ids=["batch", "layout", "bfloat16", "float64", "gaps", "without batch"],
)
def test_another_clip_goes_the_long_way(other, calls):
    layer, x = layer_of(), torch.randn(1, 8, 4, 6, 6)
    with torch.no_grad():
        layer(x)
        x = other(x)
        expected = fresh(layer, x)
        del calls[:]
        assert torch.equal(layer(x), expected)
    assert calls == [1] or x.dim() == 4


def test_what_looks_on_sees_the_operator(calls):
    """Gradients, autocast, and profilers."""
    layer, x = layer_of(), torch.randn(1, 8, 4, 6, 6)
    with torch.no_grad():
        layer(x)
    assert layer(x).requires_grad
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    with torch.no_grad(), torch.profiler.profile() as profile:
        layer(x)
    assert "videowino::winograd_conv3d" in {event.key for event in profile.key_averages()}


def test_copies_keep_nothing(calls):
    layer, x = layer_of(), torch.randn(1, 8, 4, 6, 6)
    with torch.no_grad():
        expected = layer(x)
        del calls[:]
        for copy in (deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert torch.equal(copy(x), expected)
            copy.weight.mul_(2)
            assert not torch.equal(copy(x), expected)
        assert len(calls) == 4
        assert torch.equal(layer(x), expected)
    assert len(calls) == 4


def test_layers_that_share_a_weight():
    """Each keeps its own tile's."""
    a = WinogradConv3d(8, 12, 3, padding=1, tile=2).eval()
    b = WinogradConv3d(8, 12, 3, padding=1, tile=4).eval()
    b.weight, b.bias = a.weight, a.bias
    x = torch.randn(1, 8, 4, 6, 6)
    with torch.no_grad():
        first, second = fresh(a, x), fresh(b, x)
        for _ in range(3):
            assert torch.equal(a(x), first) and torch.equal(b(x), second)


def test_threads_with_clips_of_two_sizes():
    layer = layer_of()
    clips = [torch.randn(1, 8, 4, 6, 6), torch.randn(2, 8, 3, 9, 5)]
    with torch.no_grad():
        expected = [fresh(layer, x) for x in clips]
    wrong = []

    def run(x, y):
        with torch.no_grad():
            wrong.extend(1 for _ in range(300) if not torch.equal(layer(x), y))

    workers = [
        threading.Thread(target=run, args=pair) for pair in zip(clips, expected) for _ in "ab"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
