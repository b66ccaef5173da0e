"""What a model is made of: its convolutions, parameters and multiplications, as tables."""

import shutil
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn

from videowino.multiplications import (
    Convolution,
    Sizes,
    convolutions,
    direct,
    hooked,
    output_sizes,
    run,
    winograd,
)
from videowino.winograd.layers import WinogradConv3d

# What a narrow terminal does without, first to go first; notes then stand below the table.
_DISPENSABLE = ("trainable", "parameters", "note", "trained", "tile")
_LEFT = ("layer", "tile", "trained", "note")
_FOLDED = {"layer": 12, "note": 24}  # may break into lines, down to so many characters
_NO_TERMINAL = 160


@dataclass(frozen=True)
class LayerReport:
    """One convolution.

    Attributes:
        name: Its name in the model.
        kind: What it is now, "winograd" or "conv3d".
        note: Why it was not swapped, or what a swap cost (`factored` below full rank, rounding);
            else "".
        tile: As "F(2x4x4, 3x3x3)", or "".
        parameterization: With its rank, as "low_rank 8", or "".
        columns: P; 0 for a Conv3d.
        columns_kept: P'; where blocks of channels keep columns of their own, how many whole ones
            they come to.
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
    columns_kept: float
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

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        notes = [Text(f"{layer.name}: {layer.note}") for layer in self.layers if layer.note]
        widths = self._widths()
        if not notes:
            del widths["note"]
        for header in _DISPENSABLE:
            if sum(width + 3 for width in widths.values()) + 1 <= options.max_width:
                break
            widths.pop(header, None)
        yield self._table(widths)
        if "note" not in widths:
            yield from notes
        yield Text(self._summary())

    def __str__(self) -> str:
        width = shutil.get_terminal_size((_NO_TERMINAL, 24)).columns
        console = Console(width=width, force_terminal=False)
        with console.capture() as capture:
            console.print(self)
        return capture.get()

    def _widths(self) -> dict[str, int]:
        """The least width of each column that cuts nothing."""
        widths = {}
        for header, footer in self._footers().items():
            cells = [header, footer, *(_cells(layer)[header] for layer in self.layers)]
            widths[header] = min(max(map(len, cells)), _FOLDED.get(header, _NO_TERMINAL))
        return widths

    def _table(self, widths: dict[str, int]) -> Table:
        table = Table(title=self.title, title_justify="left", footer_style="bold", show_footer=True)
        footers = self._footers()
        for header, width in widths.items():
            table.add_column(
                header,
                footer=footers[header],
                justify="left" if header in _LEFT else "right",
                overflow="fold",
                no_wrap=header not in _FOLDED,
                min_width=width,
            )
        for layer in self.layers:
            cells = _cells(layer)
            table.add_row(*(cells[header] for header in widths))
        return table

    def _footers(self) -> dict[str, str]:
        """Headers of the columns, with what stands below each."""
        after = f"{quantity(self.multiplications)} {self._ratio()}"
        return {
            "layer": "all",
            "tile": "",
            "trained": "",
            "columns": self._columns(),
            "parameters": f"{sum(layer.parameters for layer in self.layers):,}",
            "trainable": f"{sum(layer.trainable for layer in self.layers):,}",
            "multiplications": quantity(self.multiplications_dense) if self.measured else "",
            "now": after if self.measured else "",
            "note": "",
        }

    def _columns(self) -> str:
        total = sum(layer.columns for layer in self.layers)
        kept = sum(layer.columns_kept for layer in self.layers)
        return columns_of(kept, total) if total else ""

    def _ratio(self) -> str:
        return f"({self.multiplications_dense / max(self.multiplications, 1):.2f}x)"

    def _summary(self) -> str:
        text = f"{len(self.swapped)} of {len(self.layers)} convolutions are Winograd convolutions"
        if self.measured:
            return text + f", with {self.eligible_share:.1%} of the dense multiplications."
        return text + ". Multiplications are those of one output."


def columns_of(kept: float, total: int) -> str:
    """As "36/144", or "35.5/144"."""
    return f"{round(kept, 1):.10g}/{total}"


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
    sizes: Sizes | None = None,
    notes: dict[str, str] | None = None,
    title: str = "Convolutions",
) -> ConversionReport:
    """Describe the convolutions of a model.

    Args:
        model: Any module.
        example: Input for one forward pass, from which multiplications are counted: a clip
            N C D H W, or what the model takes (a list for SlowFast). None counts per output.
        sizes: What `output_sizes` found, in place of an example.
        notes: A remark per layer name.
        title: Heading of the table.
    """
    if sizes is None and example is not None:
        sizes = output_sizes(model, example)
    return ConversionReport(
        [
            describe(name, module, (sizes or {}).get(module), (notes or {}).get(name, ""))
            for name, module in convolutions(model)
        ],
        title,
        measured=sizes is not None,
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

    with hooked(model, nn.Linear, add):
        run(model, example)
    frozen = sum(_frozen(module) for module in model.modules())
    return Counts(
        parameters=sum(p.numel() for p in model.parameters()) + frozen,
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        multiplications=layers.multiplications + linear,
        multiplications_dense=layers.multiplications_dense + linear,
    )


def describe(
    name: str,
    layer: Convolution,
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
        columns_kept=wino.columns_multiplied if wino else 0,
        parameters=sum(p.numel() for p in parameters) + _frozen(layer),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        multiplications_dense=direct(layer, sizes),
        multiplications=winograd(wino, sizes) if wino else direct(layer, sizes),
    )


def _cells(layer: LayerReport) -> dict[str, str]:
    before, now = layer.multiplications_dense, layer.multiplications
    return {
        "layer": layer.name,
        "tile": layer.tile or "-",
        "trained": layer.parameterization or "-",
        "columns": columns_of(layer.columns_kept, layer.columns) if layer.columns else "-",
        "parameters": f"{layer.parameters:,}",
        "trainable": f"{layer.trainable:,}",
        "multiplications": quantity(before),
        "now": f"{quantity(now)} ({before / now:.2f}x)" if now and layer.columns else quantity(now),
        "note": layer.note,
    }


def _frozen(layer: nn.Module) -> int:
    """Numbers in the frozen filter of `low_rank`, which is a buffer."""
    if isinstance(layer, WinogradConv3d) and layer.parameterization == "low_rank":
        assert layer.weight is not None
        return layer.weight.numel()
    return 0
