"""The fastest algorithm for an unpruned convolution, by measuring: a Winograd tile, or conv3d.

A pruned layer is tied to the tile whose columns were chosen; for others the tile is free, and which
one is fastest depends on the channels, the clip, the threads and the machine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from videowino.kernels import cpu, native
from videowino.timing import Timing, alternate
from videowino.winograd import WinogradConv3d, reference
from videowino.winograd.eligibility import ineligible_reason
from videowino.winograd.padding import normalize_padding
from videowino.winograd.tile import Tile, Triple, fit_tile

#: Tiles worth a measurement, largest gain first; with larger ones float32 loses digits. Tiles of 5
#: cover 14 outputs, those of the second to last stage of most networks, with one too many: by
#: tiles of 4 it is two.
TILES: tuple[Triple, ...] = (
    (4, 5, 5),
    (4, 4, 4),
    (2, 5, 5),
    (2, 4, 4),
    (2, 3, 3),
    (2, 2, 2),
    (1, 4, 4),
)
#: With strides small tiles pay as well: each position has weights of up to eight phases, and wide
#: layers wait for them.
STRIDED_TILES: tuple[Triple, ...] = (
    (4, 4, 4),
    (2, 4, 4),
    (4, 3, 3),
    (2, 3, 3),
    (4, 2, 2),
    (2, 2, 2),
)
DIRECT = "conv3d"


@dataclass(frozen=True)
class Choice:
    """What was measured for one convolution and clip.

    Attributes:
        tile: The tile to use; None for conv3d itself.
        ms: Milliseconds by algorithm, "conv3d" and tiles as "F(4x4x4, 3x3x3)"; empty where there
            was nothing to choose from.
    """

    tile: Tile | None
    ms: Mapping[str, float]


class TileChooser:
    """Measures each convolution once for a clip's shape and layout and a number of threads.

    Args:
        budget: Seconds for each convolution that is new.
        margin: How many times faster than conv3d a tile must be, for the noise of the machine.
        measure: Times callables in turns.
    """

    def __init__(
        self,
        budget: float = 0.2,
        margin: float = 1.05,
        measure: Callable[..., dict[str, Timing]] = alternate,
    ) -> None:
        self.budget, self.margin = budget, margin
        self._measure = measure
        self._known: dict[tuple[object, ...], Choice] = {}

    def choose(self, conv: nn.Conv3d, clip: Tensor) -> Choice:
        """The algorithm for a convolution of this geometry; weights do not matter.

        Args:
            conv: Any; one that is not eligible stays conv3d.
            clip: N C_in D H W of the type, shape and memory layout to come; values do not matter.
        """
        key = _key(conv, clip)
        if clip.dim() != 5:
            raise ValueError(f"clip has shape {tuple(clip.shape)}; expected N C D H W")
        if key not in self._known:
            self._known[key] = self._find(conv, clip)
        return self._known[key]

    def fastest(self, conv: nn.Conv3d, clip: Tensor) -> nn.Module:
        """`conv` itself, or the Winograd layer that computes the same faster on such clips."""
        tile = self.choose(conv, clip).tile
        return conv if tile is None else _winograd(conv, tile)

    def _find(self, conv: nn.Conv3d, clip: Tensor) -> Choice:
        tiles = list(_candidates(conv, clip))
        if not tiles:
            return Choice(None, {})
        # Copies: packed weights are kept one for each weight, and these must not stay.
        calls = {str(tile): _call(_winograd(deepcopy(conv), tile), clip) for tile in tiles}
        with torch.inference_mode():
            times = self._measure({DIRECT: _call(conv, clip)} | calls, budget=self.budget, warmup=1)
        best = min(tiles, key=lambda tile: times[str(tile)].median)
        gained = times[str(best)].median * self.margin <= times[DIRECT].median
        return Choice(best if gained else None, {name: t.ms for name, t in times.items()})


def sensible_tiles(
    taps: Sequence[int], size: Sequence[int], stride: Sequence[int] = (1, 1, 1)
) -> Iterator[Tile]:
    """`TILES`, cut to the size of the result (D', H', W') and each only once."""
    seen = set()
    for wanted in TILES if max(stride) == 1 else STRIDED_TILES:
        m = [min(m, s) for m, s in zip(wanted, size, strict=True)]
        tile = fit_tile(m, taps, stride=stride)
        if tile not in seen and max(tile.m) > 1:
            seen.add(tile)
            yield tile


def _candidates(conv: nn.Conv3d, clip: Tensor) -> Iterator[Tile]:
    if ineligible_reason(conv) is not None or clip.device.type != "cpu":
        return
    taps: Triple = conv.kernel_size  # type: ignore[assignment]
    pads = normalize_padding(conv.padding, taps)
    size = reference.output_size(clip.shape, Tile((1, 1, 1), taps), pads)
    yield from (t for t in sensible_tiles(taps, size) if cpu.takes(clip.dtype, t))


def _winograd(conv: nn.Conv3d, tile: Tile) -> WinogradConv3d:
    return WinogradConv3d.from_conv(
        conv, tile=tile.m, parameterization="spatial", rank=None, points=tile.points
    )


def _call(module: nn.Module, clip: Tensor) -> Callable[[], object]:
    return lambda: module(clip)


def _key(conv: nn.Conv3d, clip: Tensor) -> tuple[object, ...]:
    return (
        type(conv),
        *(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.dilation),
        *(conv.groups, conv.padding, conv.padding_mode, conv.bias is None),
        *(tuple(clip.shape), clip.dtype, clip.device.type, reference.memory_layout(clip)),
        *(torch.get_num_threads(), native.instruction_set(), _autocast()),
    )


def _autocast() -> torch.dtype | None:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


#: One for all, so that what is known is known everywhere.
chooser = TileChooser()
