"""Every form of a network computes the same, and the one that is faster is taken."""

from functools import partial
from itertools import count

import pytest
import torch
from torch import nn

from videowino.fastest import OneDnnConv3d, in_fastest_form
from videowino.timing import time_models

CLIP = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))[None]
onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN here")


def work():
    for _ in range(300):
        torch.ones(64, 64) @ torch.ones(64, 64)


class Layout(nn.Module):
    """Slow on clips of one memory layout."""

    def __init__(self, slow_on):
        super().__init__()
        self.conv = nn.Conv3d(2, 2, 3, padding=1)
        self.slow_on = slow_on

    def forward(self, x):
        if x.is_contiguous(memory_format=self.slow_on):
            work()
        return self.conv(x)


def test_the_faster_memory_layout_is_taken():
    model = Layout(torch.contiguous_format)
    fast, form = in_fastest_form(model, CLIP)
    assert form.endswith(", channels last")
    assert fast.conv.weight.is_contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        torch.testing.assert_close(fast(CLIP), model(CLIP))
    assert model.conv.weight.is_contiguous()
    assert in_fastest_form(Layout(torch.channels_last_3d), CLIP)[1].endswith(", channels first")


def test_each_batch_size_has_its_own_form():
    class Turns(nn.Module):
        """Slow on single clips that are channels first, and on several that are channels last."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(2, 2, 3, padding=1)

        def forward(self, x):
            last = x.is_contiguous(memory_format=torch.channels_last_3d)
            if last == (len(x) > 1):
                work()
            return self.conv(x)

    assert in_fastest_form(Turns(), CLIP)[1].endswith(", channels last")
    assert in_fastest_form(Turns(), CLIP.repeat(2, 1, 1, 1, 1))[1].endswith(", channels first")


def test_a_network_that_was_trained_channels_last_is_tried_channels_first():
    model = Layout(torch.channels_last_3d).to(memory_format=torch.channels_last_3d)
    fast, form = in_fastest_form(model, CLIP.contiguous(memory_format=torch.channels_last_3d))
    assert form.endswith(", channels first")
    assert fast.conv.weight.is_contiguous()
    assert not model.conv.weight.is_contiguous()


def test_the_budget_buys_more_than_three_looks(monkeypatch):
    calls = []
    monkeypatch.setattr(Layout, "forward", lambda self, x: calls.append(1) or self.conv(x))
    milliseconds = count()
    clocked = partial(time_models, clock=lambda: next(milliseconds) / 1e3)
    monkeypatch.setattr("videowino.fastest.time_models", clocked)
    in_fastest_form(Layout(torch.contiguous_format), CLIP, budget=0)
    few = len(calls)
    in_fastest_form(Layout(torch.contiguous_format), CLIP, budget=0.2)
    each = 1 + 3 * 2  # to warm up, and three looks, each behind an untimed call
    assert few in (2 * each, 4 * each) and len(calls) - few > 2 * few


@onednn
def test_a_small_convolution_at_batch_1_is_forced_to_onednn():
    class Slow(nn.Module):
        """What is not oneDNN is slow."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(2, 4, 3, padding=1, stride=2, bias=False)

        def forward(self, x):
            if isinstance(self.conv, nn.Conv3d):
                work()
            return self.conv(x)

    model = Slow()
    fast, form = in_fastest_form(model, CLIP)
    assert form.startswith("oneDNN, ")
    assert isinstance(fast.conv, OneDnnConv3d)
    assert isinstance(model.conv, nn.Conv3d)
    with torch.no_grad():
        torch.testing.assert_close(fast(CLIP), model(CLIP))


@onednn
@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1},
        {"padding": (1, 0, 2), "stride": (1, 2, 2), "bias": False},
        {"padding": 2, "dilation": 2},
        {"padding": 1, "groups": 2},
    ],
)
def test_onednn_convolution_equals_conv3d(options):
    conv = nn.Conv3d(4, 6, 3, **options)
    assert OneDnnConv3d.fits(conv)
    x = torch.randn(1, 4, 6, 7, 8)
    with torch.no_grad():
        torch.testing.assert_close(OneDnnConv3d(conv)(x), conv(x), rtol=1e-5, atol=1e-5)


def test_what_onednn_cannot_stand_in_for():
    class Own(nn.Conv3d):
        def forward(self, x):
            return 2 * super().forward(x)

    class Built(nn.Conv3d):  # torchvision's are such: another constructor, the same computation
        pass

    assert OneDnnConv3d.fits(Built(2, 2, 3))
    assert not OneDnnConv3d.fits(Own(2, 2, 3))
    assert not OneDnnConv3d.fits(nn.Conv3d(2, 2, 3, padding="same"))
    assert not OneDnnConv3d.fits(nn.Conv3d(2, 2, 3, padding=1, padding_mode="replicate"))
    assert not OneDnnConv3d.fits(nn.Conv3d(2, 2, 3).double())
    assert not OneDnnConv3d.fits(nn.Linear(2, 2))
