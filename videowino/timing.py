"""Wall-clock timing of several callables side by side.

Machines drift: clocks change, neighbours wake up. Timing all of A and then all of B charges the
drift to one of them, so here the callables take turns (A B C A B C ...) in one process, and the
median and quartiles of each are what is reported. Whole networks are called once more at the
beginning of each turn, untimed: in use a network follows on itself, not on another one that has
filled the caches, which costs a network of a millisecond a third of its time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_LONG = 0.05  # seconds: what such a call leaves in the caches does not matter to the next


@dataclass(frozen=True)
class Timing:
    """Times of one callable, in seconds.

    Attributes:
        median: the middle time.
        q1: lower quartile.
        q3: upper quartile.
        repeats: how many times were taken.
        threads: torch's intra-op threads while they were taken.
    """

    median: float
    q1: float
    q3: float
    repeats: int
    threads: int

    @classmethod
    def of(cls, seconds: Iterable[float], threads: int) -> Timing:
        """Summarises the times of single calls; quartiles interpolate between them."""
        times = sorted(seconds)
        if not times:
            raise ValueError("seconds: got no times to summarise")
        if len(times) == 1:
            q1 = median = q3 = times[0]
        else:
            q1, median, q3 = statistics.quantiles(times, n=4, method="inclusive")
        return cls(median, q1, q3, len(times), threads)

    @property
    def ms(self) -> float:
        """Median in milliseconds."""
        return self.median * 1e3

    @property
    def iqr_ms(self) -> float:
        """Inter-quartile range in milliseconds: the spread that the machine's noise gives."""
        return (self.q3 - self.q1) * 1e3

    def speedup(self, baseline: Timing) -> float:
        """How many times faster than `baseline` (below 1: slower), by medians."""
        return baseline.median / self.median


def alternate(
    calls: Mapping[str, Callable[[], object]],
    *,
    budget: float = 2.0,
    min_repeats: int = 5,
    max_repeats: int | None = None,
    warmup: int = 2,
    warm: int = 0,
    threads: int | None = None,
    pause: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Times callables in turns: every round calls each of them once, in the order given.

    Args:
        calls: name -> callable without arguments. Gradients are not switched off here.
        budget: seconds to spend on all of them together once they are warm. Rounds are whole:
            the one running when the budget ends is finished.
        min_repeats: rounds made even when the budget is already spent.
        max_repeats: rounds at most; no limit if None.
        warmup: rounds before timing starts (caches, allocator, lazy initialisation).
        warm: calls that begin each turn and are not timed, so that the caches hold what this
            callable left there, not the one before it; none where a call takes over 50 ms.
        threads: torch's intra-op threads for the measurement, put back afterwards; None keeps
            the present number.
        pause: seconds to wait before each call, not timed: threads of another engine may go on
            looking for work for a while.
        clock: returns seconds.

    Returns:
        name -> Timing. CUDA work is waited for before and after each call.

    Raises:
        ValueError: no callables, or a count or budget out of range.
    """
    if not calls:
        raise ValueError("calls: nothing to time, pass at least one callable")
    if budget < 0:
        raise ValueError(f"budget={budget}: seconds to spend must be 0 or more")
    if min_repeats < 1:
        raise ValueError(f"min_repeats={min_repeats}: must be 1 or more")
    if max_repeats is not None and max_repeats < min_repeats:
        raise ValueError(f"max_repeats={max_repeats}: is below min_repeats={min_repeats}")
    for name, count in (("warmup", warmup), ("warm", warm)):
        if count < 0:
            raise ValueError(f"{name}={count}: must be 0 or more")

    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with using_threads(threads) as used:
        for _ in range(warmup):
            for call in calls.values():
                call()
        _synchronize()
        deadline = clock() + budget
        rounds = 0
        while rounds < min_repeats or clock() < deadline:
            if rounds == max_repeats:
                break
            for name, call in calls.items():
                if not seconds[name] or seconds[name][-1] < _LONG:
                    for _ in range(warm):
                        call()
                _synchronize()
                if pause:
                    time.sleep(pause)
                start = clock()
                call()
                _synchronize()
                seconds[name].append(clock() - start)
            rounds += 1
    return {name: Timing.of(times, used) for name, times in seconds.items()}


def time_models(
    models: Mapping[str, nn.Module], example: object, **options: float | int | None
) -> dict[str, Timing]:
    """Times whole networks on one batch, in turns, in evaluation mode without gradients.

    Args:
        models: name -> network; all of them on the device of `example`. Their training mode is
            put back afterwards.
        example: what the networks are called with (N C D H W, or a list of pathways).
        **options: passed on to `alternate`; `warm` is 1 here.

    Returns:
        name -> Timing of one forward pass of the batch.
    """
    with evaluating(models.values()), torch.inference_mode():
        calls = {name: _bind(model, [(example,)]) for name, model in models.items()}
        return alternate(calls, **({"warm": 1} | options))  # type: ignore[arg-type]


def time_layers(
    models: Mapping[str, nn.Module],
    example: object,
    layers: Iterable[str],
    **options: float | int | None,
) -> dict[str, dict[str, Timing]]:
    """Times single layers of several networks against each other, on inputs of the real shapes.

    The first network is run once on `example` to learn what its layers are given; random tensors
    of those shapes and memory layouts are then fed to the layer of that name in every network, one
    layer after another. A layer that is called several times in a forward pass is timed as the sum
    of those calls.

    Args:
        models: name -> network; all must have the named layers, with the same inputs.
        example: what the networks are called with.
        layers: names as in `named_modules()`.
        **options: passed on to `alternate`, so `budget` is for each layer.

    Returns:
        layer -> {name of network -> Timing}, in the order of `layers`.

    Raises:
        ValueError: a network lacks a named layer, or the forward pass does not call it.
    """
    layers = list(layers)
    found = {name: dict(model.named_modules()) for name, model in models.items()}
    for name, modules in found.items():
        if missing := [layer for layer in layers if layer not in modules]:
            raise ValueError(f"layers: {name} has no layer {missing[0]!r}")
    results: dict[str, dict[str, Timing]] = {}
    with evaluating(models.values()), torch.inference_mode():
        first, model = next(iter(models.items()))
        shapes = layer_inputs(model, {layer: found[first][layer] for layer in layers}, example)
        for layer in layers:
            inputs = [
                tuple(torch.empty_like(like, device=device).normal_() for like, device in call)
                for call in shapes[layer]
            ]
            if not inputs:
                raise ValueError(f"layers: the forward pass of {first} does not call {layer!r}")
            calls = {name: _bind(modules[layer], inputs) for name, modules in found.items()}
            results[layer] = alternate(calls, **options)  # type: ignore[arg-type]
    return results


def _bind(module: nn.Module, calls: list[tuple]) -> Callable[[], None]:
    def run() -> None:
        for args in calls:
            module(*args)

    return run


def layer_inputs(
    model: nn.Module, layers: Mapping[str, nn.Module], example: object
) -> dict[str, list[tuple[tuple[Tensor, torch.device], ...]]]:
    """What layers are called with in a forward pass.

    Args:
        model: the network.
        layers: name -> a module of it.
        example: what the network is called with.

    Returns:
        Name -> one tuple a call: tensors without storage, like its inputs, and their devices.
    """
    seen: dict[str, list[tuple[tuple[Tensor, torch.device], ...]]] = {name: [] for name in layers}

    def recorder(name: str) -> Callable[[nn.Module, tuple], None]:
        def hook(module: nn.Module, args: tuple) -> None:
            seen[name].append(tuple((torch.empty_like(a, device="meta"), a.device) for a in args))

        return hook

    handles = [m.register_forward_pre_hook(recorder(name)) for name, m in layers.items()]
    try:
        model(example)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _synchronize() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


@contextmanager
def using_threads(number: int | None) -> Iterator[int]:
    """Within it torch works with so many threads, or as many as before with None; yields them."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


@contextmanager
def evaluating(models: Iterable[nn.Module]) -> Iterator[None]:
    """Evaluation mode, with each submodule's own mode put back (frozen BatchNorm stays frozen)."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
