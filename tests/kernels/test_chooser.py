"""The chooser takes the fastest, asks once, and keeps conv3d where that is as good."""

import pytest
import torch
from torch import nn

from videowino.kernels import cpu, native
from videowino.kernels.chooser import DIRECT, TileChooser, sensible_tiles
from videowino.timing import Timing
from videowino.winograd import WinogradConv3d

needs_kernels = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")


class Clock:
    """Stands for `alternate`: says how long each took, and counts how often it is asked."""

    def __init__(self, **seconds):
        self.seconds, self.asked = seconds, 0

    def __call__(self, calls, **options):
        self.asked += 1
        for call in calls.values():
            call()
        return {
            name: Timing.of([self.seconds.get(name.split(",")[0], 9.0)], threads=1)
            for name in calls
        }


def conv_and_clip(**options):
    return nn.Conv3d(4, 6, 3, padding=1, **options), torch.randn(1, 4, 4, 8, 8)


@needs_kernels
def test_takes_the_fastest():
    conv, clip = conv_and_clip()
    clock = Clock(conv3d=3.0, **{"F(4x4x4": 2.0, "F(2x4x4": 1.0})
    choice = TileChooser(measure=clock).choose(conv, clip)
    assert choice.tile.m == (2, 4, 4)
    assert choice.ms[DIRECT] == 3000
    assert choice.ms["F(4x4x4, 3x3x3)"] == 2000


@needs_kernels
@pytest.mark.parametrize(("seconds", "direct"), [(0.96, True), (0.94, False), (2.0, True)])
def test_keeps_conv3d_within_the_noise(seconds, direct):
    conv, clip = conv_and_clip()
    clock = Clock(conv3d=1.0, **{"F(2x2x2": seconds})
    chooser = TileChooser(measure=clock, margin=1.05)
    assert (chooser.choose(conv, clip).tile is None) == direct
    assert (chooser.fastest(conv, clip) is conv) == direct


@needs_kernels
def test_asks_once_for_a_shape_and_thread_count():
    conv, clip = conv_and_clip()
    clock = Clock(conv3d=1.0)
    chooser = TileChooser(measure=clock)
    for _ in range(3):
        chooser.choose(conv, clip)
    chooser.choose(conv_and_clip()[0], torch.randn_like(clip))
    assert clock.asked == 1
    chooser.choose(conv, clip.to(memory_format=torch.channels_last_3d))
    chooser.choose(conv, clip[:, :, :2])
    assert clock.asked == 3
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(before, 2))
        chooser.choose(conv, clip)
    finally:
        torch.set_num_threads(before)
    assert clock.asked == 4


@needs_kernels
def test_what_is_chosen_computes_the_same():
    conv, clip = conv_and_clip()
    layer = TileChooser(measure=Clock(conv3d=1.0, **{"F(4x4x4": 0.1})).fastest(conv, clip)
    assert isinstance(layer, WinogradConv3d)
    torch.testing.assert_close(layer(clip), conv(clip), rtol=1e-4, atol=1e-5)


@needs_kernels
def test_measures_for_real():
    conv, clip = nn.Conv3d(32, 32, 3, padding=1), torch.randn(1, 32, 4, 16, 16)
    chooser = TileChooser(budget=0.02)
    choice = chooser.choose(conv, clip)
    best = min(choice.ms, key=choice.ms.get)
    assert choice.tile is None or str(choice.tile) == best
    assert chooser.choose(conv, clip) is choice


def test_what_is_not_eligible_is_not_measured():
    clock = Clock()
    choice = TileChooser(measure=clock).choose(*conv_and_clip(stride=2))
    assert choice.tile is None
    assert clock.asked == 0


def test_sensible_tiles_fit_the_result():
    assert [t.m for t in sensible_tiles((3, 3, 3), (2, 7, 7))] == [
        (2, 5, 5), (2, 4, 4), (2, 3, 3), (2, 2, 2), (1, 4, 4),
    ]  # fmt: skip
    assert [t.m for t in sensible_tiles((1, 3, 3), (8, 14, 14))] == [
        (1, 5, 5), (1, 4, 4), (1, 3, 3), (1, 2, 2),
    ]  # fmt: skip
    assert list(sensible_tiles((3, 3, 3), (1, 1, 1))) == []


@needs_kernels
def test_each_candidate_has_a_weight_of_its_own():
    """Else their packed weights would push each other out, and packing would be what is timed."""
    packed = []
    conv, clip = conv_and_clip()
    clock = Clock(conv3d=1.0)

    def measure(calls, **options):
        for call in [*calls.values(), *calls.values()]:
            call()
        packed.extend(cpu._weights._entries)
        return clock(calls)

    TileChooser(measure=measure).choose(conv, clip)
    assert len(packed) >= 5
    assert id(conv.weight) not in packed


def test_autocast_is_measured_for_itself():
    chooser = TileChooser(budget=0.0)
    conv, clip = nn.Conv3d(16, 16, 3, padding=1), torch.randn(1, 16, 4, 8, 8)
    single = chooser.choose(conv, clip)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sixteen = chooser.choose(conv, clip)
        assert chooser.choose(conv, clip) is sixteen
    assert sixteen is not single and set(sixteen.ms) == set(single.ms)
