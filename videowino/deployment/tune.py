"""The fastest of several algorithms, found by measuring them on what a layer is called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from videowino.timing import alternate

Run = Callable[[Tensor, Tensor | None], Tensor]
Pads = tuple[int, ...]  # as of F.pad, (w0, w1, h0, h1, d0, d1)
UNPADDED: Pads = (0,) * 6
_FAR = 1.6  # times slower than the fastest at first sight: not looked at again


class Tuner:
    """Measures each geometry once: layers that differ in their weights alone share what is found.

    Args:
        budget: Seconds for each geometry.
        progress: Called with the number of geometries measured so far, before each measurement.
    """

    def __init__(
        self, budget: float = 0.15, progress: Callable[[int], object] | None = None
    ) -> None:
        self.budget = budget
        self.progress = progress
        self._known: dict[tuple[object, ...], str] = {}
        self._lock = RLock()

    def fastest(
        self,
        geometry: tuple[object, ...],
        runs: Mapping[str, Callable[[], Run]],
        x: Tensor,
        residual: Tensor | None,
    ) -> tuple[str, Run]:
        """The name of the fastest algorithm and the algorithm.

        Args:
            geometry: All that times depend on.
            runs: Algorithms by name, made when called.
            x: What to measure with.
            residual: Likewise.
        """
        with self._lock:  # one measurement at a time, or they would measure each other
            known = self._known.get(geometry, "") if len(runs) > 1 else next(iter(runs))
            if known in runs:
                return known, runs[known]()
            if self.progress is not None:
                self.progress(len(self._known))
            made = {name: make() for name, make in runs.items()}
            calls: dict[str, Callable[[], object]] = {
                name: _call(run, x, residual) for name, run in made.items()
            }
            once = alternate(calls, budget=0, min_repeats=1, warmup=1)
            best = min(timing.median for timing in once.values())
            near = {name: call for name, call in calls.items() if once[name].median < _FAR * best}
            times = alternate(near, budget=self.budget, min_repeats=3, warmup=0)
            name = min(times, key=lambda name: times[name].median)
            self._known[geometry] = name
            return name, made[name]

    def __getstate__(self) -> dict[str, Any]:
        """Without what is of one process."""
        return {"budget": self.budget}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


class Tuned(nn.Module):
    """A layer that is computed by the fastest of its algorithms for what it is called with.

    Args:
        relu: Whether negative results become zero.
        tuner: Measures.

    Attributes:
        algorithm: The name of the one that computed last; "" before.
    """

    def __init__(self, relu: bool, tuner: Tuner) -> None:
        super().__init__()
        self.relu = relu
        self.tuner = tuner
        self.algorithm = ""
        self._chosen: dict[tuple[object, ...], tuple[str, Run]] = {}
        self._made: dict[Pads, dict[str, Run]] = {}

    def algorithms(self, x: Tensor, pads: Pads) -> dict[str, Callable[[], Run]]:
        """Those that compute it, by name.

        Args:
            x: What it is called with.
            pads: Zeros around x that they are to see.
        """
        raise NotImplementedError

    def geometry(self) -> tuple[object, ...]:
        """All of the layer that times depend on."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(
        self, x: Tensor, residual: Tensor | None = None, pads: Sequence[int] = UNPADDED
    ) -> Tensor:
        """relu(layer(pad(x)) + residual).

        Args:
            x: What the layer computes on.
            residual: As the result, or None.
            pads: Zeros around x, as of `F.pad`, beside those of the layer itself.
        """
        pads = tuple(map(int, pads))
        key = (
            *(x.shape, x.stride(), x.dtype, x.device.type, residual is not None),
            *(torch.get_num_threads(), pads),
        )
        found = self._chosen.get(key)
        if found is None:
            geometry = (type(self), *self.geometry(), self.relu, *key)
            runs = self.algorithms(x, pads)
            made = self._made.setdefault(pads, {})
            runs |= {name: _same(run) for name, run in made.items() if name in runs}
            name, run = self.tuner.fastest(geometry, runs, x, residual)
            found = self._chosen[key] = name, made.setdefault(name, run)
        self.algorithm = found[0]
        return found[1](x, residual)

    def finish(self, y: Tensor, residual: Tensor | None) -> Tensor:
        """What follows, for algorithms without: `y` is changed in place."""
        if residual is not None:
            y += residual
        return y.relu_() if self.relu else y

    def __getstate__(self) -> dict[str, Any]:
        """Choices are made anew: they are of this machine."""
        return {**self.__dict__, "_chosen": {}, "_made": {}}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Tuned:
        self._chosen, self._made = {}, {}
        return super()._apply(fn, recurse)


def _same(run: Run) -> Callable[[], Run]:
    return lambda: run


def _call(run: Run, x: Tensor, residual: Tensor | None) -> Callable[[], Tensor]:
    return lambda: run(x, residual)
