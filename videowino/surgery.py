"""Swap a model's convolutions for Winograd convolutions, prune their columns, and swap back."""

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from videowino.choice import ALREADY, Patterns, RankChoice, choose, choose_ranks, fit_layer
from videowino.multiplications import Convolution, Sizes, convolutions, output_sizes
from videowino.report import ConversionReport, report
from videowino.winograd.blocks import check_granularity
from videowino.winograd.columns import column_sparsity, select_columns, winograd_layers
from videowino.winograd.layers import WinogradConv3d
from videowino.winograd.rounding import rounding_error
from videowino.winograd.tile import fit_tile
from videowino.winograd.transforms import filter_matrix

TileChoice = int | Sequence[int] | Mapping[str, int | Sequence[int]]
_TILE = (2, 4, 4)

# |U - g K^T| / |U| up to which a Winograd weight counts as that of an ordinary filter: float32
# rounding of U stays well below, one pruned column lies far above.
EXACT = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 5e-2}
# The relative error up to which a converted layer counts as equal in float32.
ROUNDING = 1e-5


def convert(
    model: nn.Module,
    *,
    parameterization: str = "low_rank",
    rank: RankChoice = 8,
    tile: TileChoice = _TILE,
    points: str | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
    strided: bool = False,
    example: Any = None,
) -> ConversionReport:
    """Replace every eligible Conv3d of a model, in place, by a `WinogradConv3d` that equals it.

    A module used in several places is swapped once and stays shared. Layers with stride
    (unless `strided`), dilation, groups, other taps or hooks stay, as do tied weights unless
    `spatial`, and Winograd layers that are there already; the report says why. It also says where
    float32 rounding is expected to exceed `ROUNDING`, with a warning: long kernels and large
    tiles.

    Args:
        model: Any module that contains Conv3d.
        parameterization: `spatial`, `vanilla`, `low_rank` or `factored`. The default trains
            few parameters and starts exactly.
        rank: s, for `low_rank` and `factored`. Layers whose kernel allows less (a 3x1x1 has
            three taps) take as much as they can. Or a share of energy, as 0.9: each layer takes
            the least rank that holds it of its own U (`spectral_rank`). Or that of each layer by
            its name, as `ranks` gives them.
        tile: Outputs per tile, one number or (depth, height, width); one on axes with one tap. Or
            those of each layer by its name, as `fastest_tiles` gives them; layers that it does not
            name get (2, 4, 4).
        points: Interpolation points, see `Tile.points`. Kernels with other taps need others:
            convert them apart, with `include`.
        include: Shell patterns of layer names to swap, "layer1.*"; all when None.
        exclude: Shell patterns of layer names to leave.
        strided: Whether to swap layers with strides of 2 as well. They save fewer multiplications
            (2m + 1 positions for m outputs of three taps instead of m + 2), deployed networks run
            them by Winograd in any case, and the stem, often one of them, is the layer that bears
            pruning least: so only when asked, for networks that are pruned far.
        example: A clip N C D H W (or what the model takes), to count multiplications for.

    Returns:
        The report: print it.

    Raises:
        ValueError: An argument is out of range, a pattern matches no convolution, or a LazyConv3d
            has no weight yet. The model is then unchanged.
        TypeError: `model` is a convolution itself, which cannot be replaced in place.
    """
    _refuse_lone(model, "use WinogradConv3d.from_conv(conv)")
    if not isinstance(tile, Mapping):
        fit_tile(tile, (3, 3, 3))
    sizes = _sizes(model, example)
    found = dict(convolutions(model))
    chosen, notes = choose(model, found, include, exclude, parameterization == "spatial", strided)
    asked = {name: _tile_of(name, tile) for name in chosen}
    if isinstance(tile, Mapping) and (unknown := sorted(set(tile) - set(found))):
        raise ValueError(f"tile: the model has no convolution {unknown[0]!r}")
    tiles = {name: fit_layer(name, conv, asked[name], points) for name, conv in chosen.items()}
    widest = max(tiles.values(), key=lambda t: t.positions, default=fit_tile(2, (3, 3, 3)))
    ranks_of = choose_ranks(chosen, tiles, parameterization, rank, widest)
    swaps: dict[nn.Module, nn.Module] = {}
    for name, conv in chosen.items():
        layer = WinogradConv3d.from_conv(
            conv,
            tile=asked[name],
            parameterization=parameterization,
            rank=ranks_of[name],
            points=points,
        )
        swaps[conv] = layer
        if layer.fit_error:
            notes[name] = f"rank {layer.rank} fits U up to {layer.fit_error:.1%}"
    _note_rounding({name: swaps[conv] for name, conv in chosen.items()}, notes)
    _warn_if_already(swaps, notes, parameterization)
    replace_modules(model, swaps)
    return report(model, sizes=_moved(sizes, swaps), notes=notes, title="Conversion")


def ranks(model: nn.Module) -> dict[str, int]:
    """The rank of each `low_rank` and `factored` layer, by its name: what `convert` takes."""
    return {n: layer.rank for n, layer in winograd_layers(model).items() if layer.rank}


def prune(
    model: nn.Module,
    sparsity: float,
    *,
    score: str = "held",
    budget: str = "uniform",
    granularity: str = "column",
    compensate: bool = True,
    example: Any = None,
) -> ConversionReport:
    """Set hard column masks on all Winograd layers of a model, in place.

    Masks are chosen anew, except that what a column gave away by an earlier `compensate` it does
    not get back: such columns rank last. Pruning a network further is fine; pruning it less
    brings columns back with nothing in them, which a warning says.

    Args:
        model: A model with Winograd layers.
        sparsity: Fraction of columns, or of blocks of them, to prune, 0 up to below 1.
        score: "held" takes the scores that the layers accumulated while training, or magnitude
            where there are none; "magnitude" and "reconstruction" look at the weights.
        budget: "uniform" or "global", see `select_columns`.
        granularity: "column", or "block" to keep and prune each column by blocks of 16 input
            channels.
        compensate: Let the kept columns make up for the pruned ones, which costs nothing and
            keeps most of the output (see `videowino.winograd.compensation`). It cannot be undone
            where all of U is trained (`vanilla`, `factored`, the update of `low_rank`).
        example: A clip to count multiplications for.

    Raises:
        ValueError: sparsity, score, budget or granularity out of range, no Winograd layer in the
            model, or, with a global budget, some layers with held scores and some without.
    """
    layers = winograd_layers(model)
    if not layers:
        raise ValueError("model has no WinogradConv3d; call videowino.convert(model) first")
    check_granularity(granularity)
    if score == "held" and budget == "global":
        if len({layer.holds_scores(granularity) for layer in layers.values()}) > 1:
            raise ValueError(
                "score='held' with budget='global' compares held scores with magnitudes: some "
                "layers hold none; use score='magnitude' or budget='uniform'"
            )
    sizes = _sizes(model, example)
    given = {name: layer.given_away(granularity) for name, layer in layers.items()}
    scores = {
        name: layer.scores(score, granularity).masked_fill(given[name], -1.0)  # below any score
        for name, layer in layers.items()
    }
    masks = select_columns(scores, sparsity, budget)
    empty = [name for name, mask in masks.items() if bool((mask & given[name]).any())]
    if empty:
        warnings.warn(
            f"sparsity={sparsity} is less than {len(empty)} layers have now, {empty[0]} for one: "
            "their pruned columns have given their weight to the others and come back with none; "
            "to prune less, start from the network before pruning",
            stacklevel=2,
        )
    for name, mask in masks.items():
        layers[name].set_mask(mask, compensate)
    title = f"Pruned {column_sparsity(model):.1%} of the columns"
    if granularity == "block":
        title += ", by blocks of channels"
    return report(model, sizes=sizes, title=title)


def restore(model: nn.Module, *, example: Any = None) -> ConversionReport:
    """Turn Winograd layers back into Conv3d, in place, where a Conv3d computes the same.

    It does as long as the Winograd weight is the transform of some filter: before training,
    always with `spatial` and untouched gates, not after pruning. Layers that have left that
    space stay, and the report says by how much.
    """
    _refuse_lone(model, "wrap it in a module")
    sizes = _sizes(model, example)
    notes: dict[str, str] = {}
    swaps: dict[nn.Module, nn.Module] = {}
    for name, layer in winograd_layers(model).items():
        padding = _conv_padding(layer)
        if padding is None:
            notes[name] = f"asymmetric padding {layer.padding}, which no Conv3d has"
            continue
        spatial, error = _nearest_filter(layer)
        if error > EXACT[spatial.dtype]:
            notes[name] = f"no filter computes this: the nearest is {error:.2%} away"
            continue
        swaps[layer] = _conv_from(layer, spatial, padding)
    replace_modules(model, swaps)
    return report(model, sizes=_moved(sizes, swaps), notes=notes, title="Restoration")


def dense_like(model: nn.Module) -> nn.Module:
    """A copy with ordinary convolutions where the model has Winograd layers.

    Their weights are random: it is what a network's time is compared with.

    Raises:
        ValueError: a layer's padding differs between its sides, which no Conv3d has.
    """
    copied = deepcopy(model)
    swaps: dict[nn.Module, nn.Module] = {}
    for name, layer in winograd_layers(copied).items():
        padding = _conv_padding(layer)
        if padding is None:
            raise ValueError(f"{name} has padding {layer.padding}, which no Conv3d has")
        shape = layer.out_channels, layer.in_channels, *layer.tile.taps
        swaps[layer] = _conv_from(layer, torch.randn(shape).to(layer.gate), padding)
    replace_modules(copied, swaps)
    return copied


def replace_modules(model: nn.Module, swaps: Mapping[Any, nn.Module]) -> None:
    """Put other modules in the place of some, wherever the model uses them."""
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child is not None and child in swaps:
                parent._modules[name] = swaps[child]


def _tile_of(name: str, tile: TileChoice) -> int | Sequence[int]:
    return tile.get(name, _TILE) if isinstance(tile, Mapping) else tile


def _refuse_lone(model: nn.Module, instead: str) -> None:
    if isinstance(model, Convolution):
        raise TypeError(
            f"model is a {type(model).__name__} itself, which cannot be replaced in place; "
            f"{instead}"
        )


def _sizes(model: nn.Module, example: Any) -> Sizes | None:
    """What the convolutions give for the example: before anything changes, in case it fails."""
    return None if example is None else output_sizes(model, example)


def _moved(sizes: Sizes | None, swaps: Mapping[nn.Module, nn.Module]) -> Sizes | None:
    if sizes is None:
        return None
    return {swaps.get(module, module): uses for module, uses in sizes.items()}


def _note_rounding(layers: Mapping[str, nn.Module], notes: dict[str, str]) -> None:
    """Say where a layer is not equal within `ROUNDING` to the convolution it was."""
    errors = {
        name: rounding_error(layer.tile)
        for name, layer in layers.items()
        if isinstance(layer, WinogradConv3d) and layer.gate.dtype != torch.float64
    }
    large = {name: error for name, error in errors.items() if error > ROUNDING}
    for name, error in large.items():
        said = f"{notes[name]}; " if name in notes else ""
        notes[name] = f"{said}float32 rounding of about {error:.0e}"
    if large:
        worst = max(large, key=large.__getitem__)
        warnings.warn(
            f"float32 rounding exceeds {ROUNDING:.0e} in {len(large)} of {len(layers)} swapped "
            f"layers, with about {large[worst]:.0e} in {worst}: take a smaller tile for them, or "
            "exclude them",
            stacklevel=3,
        )


def _warn_if_already(
    swaps: Mapping[nn.Module, nn.Module], notes: Mapping[str, str], parameterization: str
) -> None:
    already = [name for name, note in notes.items() if note == ALREADY]
    if already and not swaps:
        warnings.warn(
            f"convert has changed nothing: {', '.join(already[:3])}"
            f"{', ...' if len(already) > 3 else ''} are Winograd layers already; "
            f"videowino.restore(model) first, for parameterization={parameterization!r}",
            stacklevel=3,
        )


def _nearest_filter(layer: WinogradConv3d) -> tuple[Tensor, float]:
    """The least-squares filter of U = g K^T, and |U - g K^T| / |U|; the layer's own if it has."""
    plain = layer.columns_multiplied == layer.columns and bool((layer.gate == 1).all())
    if plain and layer.parameterization == "spatial":
        assert layer.weight is not None
        return layer.weight, 0.0
    u = layer.winograd_weight().double().flatten(0, 1)
    k = filter_matrix(layer.tile, torch.float64, u.device)
    g = u @ torch.linalg.pinv(k).T
    norm = u.norm()
    error = ((u - g @ k.T).norm() / norm).item() if norm > 0 else 0.0
    shape = (layer.out_channels, layer.in_channels, *layer.tile.taps)
    return g.reshape(shape).to(layer.gate.dtype), error


def _conv_from(layer: WinogradConv3d, spatial: Tensor, padding: Any) -> nn.Conv3d:
    conv = nn.Conv3d(
        layer.in_channels,
        layer.out_channels,
        layer.tile.taps,
        layer.tile.stride,
        padding=padding,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
        device="meta",  # its weights are given
    )
    if not isinstance(spatial, nn.Parameter):
        layout = torch.channels_last_3d if layer.channels_last else torch.contiguous_format
        trains = any(
            p.requires_grad for p in (layer.weight, layer.left, layer.right) if p is not None
        )
        spatial = nn.Parameter(spatial.contiguous(memory_format=layout), requires_grad=trains)
    conv.weight = spatial
    conv.bias = layer.bias
    return conv.train(layer.training)


def _conv_padding(layer: WinogradConv3d) -> str | tuple[int, ...] | None:
    """The padding as a Conv3d takes it; None where its sides differ."""
    padding = layer.padding
    if isinstance(padding, str) or len(padding) == 3:
        return padding
    return padding[::2] if padding[::2] == padding[1::2] else None
