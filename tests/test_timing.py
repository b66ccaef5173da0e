"""Timing in turns: order, medians and budget against a clock that the test moves."""

import pytest
import torch
from torch import nn

from videowino.timing import Timing, alternate, time_layers, time_models


class Clock:
    """Stands still unless a call moves it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def taking(self, name: str, *seconds: float):
        """A callable that takes these times, the last one ever after."""
        left = list(seconds)

        def call() -> None:
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def test_median_and_quartiles_by_hand():
    timing = Timing.of([0.005, 0.001, 0.004, 0.002, 0.003], threads=2)
    assert (timing.q1, timing.median, timing.q3) == (0.002, 0.003, 0.004)
    assert timing.ms == pytest.approx(3.0)
    assert timing.iqr_ms == pytest.approx(2.0)
    assert (timing.repeats, timing.threads) == (5, 2)
    assert Timing.of([0.001, 0.002], threads=1).median == pytest.approx(0.0015)
    assert Timing.of([0.25], threads=1) == Timing(0.25, 0.25, 0.25, 1, 1)


def test_speedup_is_the_ratio_of_medians():
    dense, slow = Timing.of([0.2], 1), Timing.of([0.4], 1)
    assert slow.speedup(dense) == 0.5
    assert dense.speedup(slow) == 2.0


def test_calls_take_turns_and_warmup_is_not_timed():
    clock = Clock()
    result = alternate(
        {"a": clock.taking("a", 50.0, 1.0, 3.0, 2.0), "b": clock.taking("b", 70.0, 4.0)},
        budget=0.0,
        min_repeats=3,
        warmup=1,
        clock=clock,
    )
    assert clock.calls == ["a", "b"] * 4
    assert result["a"].median == 2.0
    assert result["b"].median == 4.0
    assert result["a"].repeats == result["b"].repeats == 3


def test_one_slow_round_does_not_move_the_median():
    clock = Clock()
    call = clock.taking("a", 1.0, 1.0, 900.0, 1.0, 1.0, 1.0)
    assert alternate({"a": call}, budget=0.0, min_repeats=5, warmup=1, clock=clock)["a"].median == 1


def test_a_turn_begins_with_calls_that_are_not_timed_unless_they_are_long():
    clock = Clock()
    calls = {"short": clock.taking("short", 0.03, 0.01), "long": clock.taking("long", 7.0, 5.0)}
    options = {"budget": 0.0, "min_repeats": 3, "warmup": 0}
    result = alternate(calls, warm=1, clock=clock, **options)
    assert clock.calls == ["short", "short", "long", "long"] + ["short", "short", "long"] * 2
    assert (result["short"].median, result["short"].q3) == pytest.approx((0.01, 0.01))
    assert (result["long"].median, result["long"].repeats) == (5.0, 3)


def test_budget_sets_the_number_of_rounds():
    clock = Clock()
    calls = {"a": clock.taking("a", 1.0), "b": clock.taking("b", 2.0)}
    result = alternate(calls, budget=10.0, min_repeats=1, warmup=0, clock=clock)
    # Rounds of 3 s begin at 0, 3, 6 and 9 s; the one begun at 9 is finished.
    assert result["a"].repeats == 4
    result = alternate(calls, budget=10.0, min_repeats=1, max_repeats=2, warmup=0, clock=clock)
    assert result["b"].repeats == 2
    result = alternate(calls, budget=10.0, min_repeats=6, warmup=0, clock=clock)
    assert result["b"].repeats == 6


def test_threads_are_set_stated_and_put_back():
    before = torch.get_num_threads()
    seen = []
    result = alternate(
        {"a": lambda: seen.append(torch.get_num_threads())}, budget=0, min_repeats=1, threads=1
    )
    assert set(seen) == {1}
    assert result["a"].threads == 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": -1.0}, "budget=-1.0"),
        ({"min_repeats": 0}, "min_repeats=0"),
        ({"min_repeats": 4, "max_repeats": 3}, "max_repeats=3: is below min_repeats=4"),
        ({"warmup": -1}, "warmup=-1"),
        ({"warm": -2}, "warm=-2"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        alternate({"a": lambda: None}, **options)


def test_nothing_to_time():
    with pytest.raises(ValueError, match="calls: nothing to time"):
        alternate({})
    with pytest.raises(ValueError, match="no times"):
        Timing.of([], threads=1)


class Spy(nn.Module):
    """Notes the mode and shape it is called with; can be made slow."""

    def __init__(self, work: int = 0) -> None:
        super().__init__()
        self.seen: list[tuple] = []
        self.work = work

    def forward(self, x):
        self.seen.append((self.training, torch.is_grad_enabled(), tuple(x.shape)))
        for _ in range(self.work):
            torch.ones(64, 64) @ torch.ones(64, 64)
        return x


class Twice(nn.Module):
    def __init__(self, work: int = 0) -> None:
        super().__init__()
        self.spy = Spy(work)
        self.unused = Spy()
        self.frozen = nn.BatchNorm3d(2).eval()

    def forward(self, x):
        return self.spy(self.spy(x)[:, :, :1])


def test_models_run_in_evaluation_mode_and_get_their_mode_back():
    model = Twice().train()
    model.frozen.eval()
    result = time_models({"m": model}, torch.zeros(1, 2, 3, 4, 5), budget=0, min_repeats=2)
    assert result["m"].repeats == 2
    assert len(model.spy.seen) == 2 * (2 + 2 * 2)  # twice in a call: warm-up, and each timed one's
    assert {seen[:2] for seen in model.spy.seen} == {(False, False)}
    assert model.training
    assert model.spy.training
    assert not model.frozen.training


def test_layers_are_fed_the_shapes_of_the_forward_pass():
    fast, slow = Twice(), Twice(work=200)
    x = torch.zeros(1, 2, 3, 4, 5)
    result = time_layers({"f": fast, "s": slow}, x, ["spy"], budget=0, min_repeats=3, warmup=0)
    # Once whole to learn the shapes, then three rounds, each with both calls of the layer.
    shapes = [seen[2] for seen in fast.spy.seen]
    assert shapes == [(1, 2, 3, 4, 5), (1, 2, 1, 4, 5)] * 4
    assert [seen[2] for seen in slow.spy.seen] == [(1, 2, 3, 4, 5), (1, 2, 1, 4, 5)] * 3
    assert result["spy"]["f"].speedup(result["spy"]["s"]) > 2


def test_layers_are_fed_the_memory_layout_of_the_forward_pass():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Identity()
            self.strides = []
            self.layer.register_forward_pre_hook(lambda _, a: self.strides.append(a[0].stride()))

        def forward(self, x):
            return self.layer(x.contiguous(memory_format=torch.channels_last_3d))

    model = Last()
    time_layers({"m": model}, torch.zeros(2, 3, 4, 5, 6), ["layer"], budget=0, min_repeats=1)
    assert set(model.strides) == {(360, 1, 90, 18, 3)}


def test_layers_must_exist_and_be_called():
    x = torch.zeros(1, 2, 3, 4, 5)
    with pytest.raises(ValueError, match="other has no layer 'spy'"):
        time_layers({"one": Twice(), "other": Spy()}, x, ["spy"])
    with pytest.raises(ValueError, match="does not call 'unused'"):
        time_layers({"one": Twice()}, x, ["unused"])
