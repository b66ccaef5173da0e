"""Where a deployed network's time goes."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from videowino.deployment.convolution import FusedConv3d
from videowino.deployment.pooling import FusedMaxPool3d
from videowino.deployment.tune import Tuned


@dataclass(frozen=True)
class LayerTime:
    """One convolution or fully connected layer.

    Attributes:
        name: Where it is in the network.
        algorithm: A tile, "direct", "product" (a matrix product) or "linear" (PyTorch's).
        columns: "36/144" kept; "" where there are none.
        ms: Median milliseconds, over all its calls in a forward pass.
    """

    name: str
    algorithm: str
    columns: str
    ms: float


@dataclass(frozen=True)
class DeploymentReport:
    """What `print` shows as a table.

    Attributes:
        layers: Those that weights are multiplied in, in the order in which they run.
        ms: Median milliseconds of the whole network.
        threads: torch's threads meanwhile.
    """

    layers: tuple[LayerTime, ...]
    ms: float
    threads: int

    @property
    def rest_ms(self) -> float:
        """Milliseconds outside of these layers."""
        return max(0.0, self.ms - sum(layer.ms for layer in self.layers))

    @property
    def figures(self) -> dict[str, Any]:
        """Plain values, as for a JSON file."""
        return asdict(self) | {"rest_ms": self.rest_ms}

    def __str__(self) -> str:
        table = Table("layer", "algorithm", "columns", "ms", "share", caption=self._caption())
        for column in table.columns[3:]:
            column.justify = "right"
        for layer in self.layers:
            share = f"{layer.ms / self.ms:.0%}"
            table.add_row(layer.name, layer.algorithm, layer.columns, f"{layer.ms:.2f}", share)
        table.add_row("the rest", "", "", f"{self.rest_ms:.2f}", f"{self.rest_ms / self.ms:.0%}")
        console = Console(width=100)
        with console.capture() as capture:
            console.print(table)
        return capture.get().rstrip()

    def _caption(self) -> str:
        return f"{self.ms:.2f} ms in all, {self.threads} threads; medians."


@torch.no_grad()
def measure(model: nn.Module, clip: Tensor, repeats: int) -> DeploymentReport:
    """Time a deployed model and each convolution, pooling and fully connected layer in it.

    Args:
        model: With `Tuned` layers in it.
        clip: What it takes.
        repeats: Of the whole network.
    """
    timed = Tuned | FusedMaxPool3d
    layers = {m: name for name, m in model.named_modules() if isinstance(m, timed)}
    spent: dict[nn.Module, float] = {}
    runs: dict[nn.Module, list[float]] = {}
    started: dict[nn.Module, float] = {}

    def begin(module: nn.Module, _: Any) -> None:
        started[module] = time.perf_counter()

    def end(module: nn.Module, _: Any, __: Any) -> None:
        spent[module] = spent.get(module, 0.0) + time.perf_counter() - started[module]

    handles = [m.register_forward_pre_hook(begin) for m in layers]
    handles += [m.register_forward_hook(end) for m in layers]
    totals: list[float] = []
    try:
        for turn in range(repeats + 2):  # two to warm up
            spent.clear()
            start = time.perf_counter()
            model(clip)
            if turn >= 2:
                totals.append(time.perf_counter() - start)
                for module, seconds in spent.items():
                    runs.setdefault(module, []).append(seconds)
    finally:
        for handle in handles:
            handle.remove()
    found = tuple(
        LayerTime(
            layers[m].removeprefix("network.").removeprefix("0."),
            m.algorithm,
            m.columns if isinstance(m, FusedConv3d) else "",
            statistics.median(seconds) * 1e3,
        )
        for m, seconds in runs.items()
        if isinstance(m, timed)
    )
    return DeploymentReport(found, statistics.median(totals) * 1e3, torch.get_num_threads())
