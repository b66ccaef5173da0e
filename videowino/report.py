"""What a model is made of: its convolutions, parameters and multiplications, as tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn

from videowino.winograd.layers import WinogradConv3d
from videowino.winograd.transforms import tile_counts


@dataclass(frozen=True)
class LayerReport:
    """One convolution.

    Attributes:
        name: Its name in the model.
        kind: What it is now, "winograd" or "conv3d".
        note: Why it was not swapped, or what a swap cost (`factored` below full rank); else "".
        tile: As "F(2x4x4, 3x3x3)", or "".
        parameterization: With its rank, as "low_rank 8", or "".
        columns: P; 0 for a Conv3d.
        columns_kept: P'.
        parameters: All numbers stored, a frozen filter included.
        trainable: Those that train.
        multiplications_dense: Of the direct convolution: for the example, or per output of one
            sample where no example was given.
        multiplications: Of the layer as it is, element-wise products only (the transforms'
            constants are not counted, as usual in the literature).
    """

    name: str
    kind: str
    note: str
    tile: str
    parameterization: str
    columns: int
    columns_kept: int
    parameters: int
    trainable: int
    multiplications_dense: float
    multiplications: float


@dataclass
class ConversionReport:
    """The convolutions of a model, printable as a table.

    Attributes:
        layers: One entry a convolution, in the model's order; shared ones once.
        title: Heading of the table.
        measured: Whether multiplications are those of an example clip.
    """

    layers: list[LayerReport] = field(default_factory=list)
    title: str = "Convolutions"
    measured: bool = False

    @property
    def swapped(self) -> list[LayerReport]:
        """The Winograd layers."""
        return [layer for layer in self.layers if layer.kind == "winograd"]

    @property
    def kept(self) -> list[LayerReport]:
        """The layers that stayed Conv3d."""
        return [layer for layer in self.layers if layer.kind != "winograd"]

    @property
    def multiplications_dense(self) -> float:
        """Of all convolutions, done directly. Needs an example."""
        return sum(layer.multiplications_dense for layer in self.layers)

    @property
    def multiplications(self) -> float:
        """Of all convolutions as they are. Needs an example."""
        return sum(layer.multiplications for layer in self.layers)

    @property
    def eligible_share(self) -> float:
        """The fraction of the dense multiplications that is in Winograd layers now."""
        total = self.multiplications_dense
        return sum(layer.multiplications_dense for layer in self.swapped) / total if total else 0.0

    def __rich__(self) -> Group:
        unit = "multiplications" if self.measured else "multiplications an output"
        table = Table(title=self.title, title_justify="left", footer_style="bold")
        table.add_column("layer", footer="all", overflow="fold")
        table.add_column("tile")
        table.add_column("trained")
        table.add_column("columns", justify="right", footer=self._columns())
        for header, name in (("parameters", "parameters"), ("trainable", "trainable")):
            total = sum(getattr(layer, name) for layer in self.layers)
            table.add_column(header, justify="right", footer=f"{total:,}")
        table.add_column(unit, justify="right", footer=self._before() if self.measured else "")
        after = f"{quantity(self.multiplications)} {self._ratio()}" if self.measured else ""
        table.add_column("now", justify="right", footer=after)
        table.add_column("note", overflow="fold")
        table.show_footer = True
        for layer in self.layers:
            table.add_row(*_cells(layer))
        return Group(table, Text(self._summary()))

    def __str__(self) -> str:
        console = Console(width=160, force_terminal=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get()

    def _columns(self) -> str:
        total = sum(layer.columns for layer in self.layers)
        kept = sum(layer.columns_kept for layer in self.layers)
        return f"{kept}/{total}" if total else ""

    def _before(self) -> str:
        return quantity(self.multiplications_dense)

    def _ratio(self) -> str:
        return f"({self.multiplications_dense / max(self.multiplications, 1):.2f}x fewer)"

    def _summary(self) -> str:
        text = f"{len(self.swapped)} of {len(self.layers)} convolutions are Winograd convolutions"
        if self.measured:
            text += f", with {self.eligible_share:.1%} of the dense multiplications"
        return text + "."


def quantity(value: float) -> str:
    """A count with at most four digits: 512, 1.23 K, 45.6 M, 7.89 G."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " K")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.4g}"


def report(
    model: nn.Module,
    example: Any = None,
    *,
    notes: dict[str, str] | None = None,
    title: str = "Convolutions",
) -> ConversionReport:
    """Describe the convolutions of a model.

    Args:
        model: Any module.
        example: Input for one forward pass, from which multiplications are counted: a clip
            N C D H W, or what the model takes (a list for SlowFast). None counts per output.
        notes: A remark per layer name.
        title: Heading of the table.
    """
    sizes = _output_sizes(model, example) if example is not None else {}
    return ConversionReport(
        [
            describe(name, module, sizes.get(module), (notes or {}).get(name, ""))
            for name, module in convolutions(model)
        ],
        title,
        measured=example is not None,
    )


@dataclass(frozen=True)
class Counts:
    """Totals of a model for one example.

    Attributes:
        parameters: All numbers stored as parameters, frozen filters of `low_rank` included.
        trainable: Those that train.
        multiplications: Of convolutions (element-wise products) and linear layers, as they are.
        multiplications_dense: The same, every convolution done directly.
    """

    parameters: int
    trainable: int
    multiplications: float
    multiplications_dense: float


def count(model: nn.Module, example: Any) -> Counts:
    """Count parameters, and multiplications in one forward pass over `example`."""
    layers = report(model, example)
    linear = 0.0

    def add(module: nn.Linear, inputs: tuple, output: Tensor) -> None:
        nonlocal linear
        linear += output.numel() * module.in_features

    with _hooked(model, nn.Linear, add):
        _run(model, example)
    frozen = sum(_frozen(module) for module in model.modules())
    return Counts(
        parameters=sum(p.numel() for p in model.parameters()) + frozen,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        multiplications=layers.multiplications + linear,
        multiplications_dense=layers.multiplications_dense + linear,
    )


def convolutions(model: nn.Module) -> Iterator[tuple[str, nn.Conv3d | WinogradConv3d]]:
    """The 3D convolutions of a model, shared ones once."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv3d | WinogradConv3d):
            yield name, module


def describe(
    name: str,
    layer: nn.Conv3d | WinogradConv3d,
    sizes: list[tuple[int, ...]] | None = None,
    note: str = "",
) -> LayerReport:
    """One row: `sizes` are the outputs (N, C, D, H, W) that the layer gave, each use one."""
    wino = layer if isinstance(layer, WinogradConv3d) else None
    parameters = list(layer.parameters())
    rank = f" {wino.rank}" if wino and wino.rank else ""
    return LayerReport(
        name=name,
        kind="winograd" if wino else "conv3d",
        note=note,
        tile=str(wino.tile) if wino else "",
        parameterization=f"{wino.parameterization}{rank}" if wino else "",
        columns=wino.columns if wino else 0,
        columns_kept=wino.columns_kept if wino else 0,
        parameters=sum(p.numel() for p in parameters) + _frozen(layer),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        multiplications_dense=_direct(layer, sizes),
        multiplications=_winograd(wino, sizes) if wino else _direct(layer, sizes),
    )


def _cells(layer: LayerReport) -> tuple[str, ...]:
    before, now = layer.multiplications_dense, layer.multiplications
    columns = f"{layer.columns_kept}/{layer.columns}" if layer.columns else "-"
    return (
        layer.name,
        layer.tile or "-",
        layer.parameterization or "-",
        columns,
        f"{layer.parameters:,}",
        f"{layer.trainable:,}",
        quantity(before),
        f"{quantity(now)} ({before / now:.2f}x)" if now and layer.columns else quantity(now),
        layer.note,
    )


def _frozen(layer: nn.Module) -> int:
    """Numbers in the frozen filter of `low_rank`, which is a buffer."""
    if isinstance(layer, WinogradConv3d) and layer.parameterization == "low_rank":
        assert layer.weight is not None
        return layer.weight.numel()
    return 0


def _direct(layer: nn.Conv3d | WinogradConv3d, sizes: list[tuple[int, ...]] | None) -> float:
    per_output = prod(layer.kernel_size) * layer.in_channels // layer.groups
    if sizes is None:
        return per_output * layer.out_channels
    return float(sum(prod(size) * per_output for size in sizes))


def _winograd(layer: WinogradConv3d, sizes: list[tuple[int, ...]] | None) -> float:
    per_tile = layer.columns_kept * layer.in_channels * layer.out_channels
    if sizes is None:
        return per_tile / prod(layer.tile.m)
    return float(
        sum(s[0] * prod(tile_counts(layer.tile, (s[2], s[3], s[4]))) * per_tile for s in sizes)
    )


def _output_sizes(model: nn.Module, example: Any) -> dict[nn.Module, list[tuple[int, ...]]]:
    sizes: dict[nn.Module, list[tuple[int, ...]]] = {m: [] for _, m in convolutions(model)}

    def note(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        shape = tuple(output.shape)
        sizes[module].append(shape if len(shape) == 5 else (1, *shape))

    with _hooked(model, (nn.Conv3d, WinogradConv3d), note):
        _run(model, example)
    return sizes


@contextmanager
def _hooked(model: nn.Module, kinds: Any, hook: Any) -> Iterator[None]:
    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, kinds)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _run(model: nn.Module, example: Any) -> None:
    """One forward pass that leaves no trace: eval mode, no gradients."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            model(example)
    finally:
        for module, mode in modes.items():
            module.training = mode
