"""Swap a model's convolutions for Winograd convolutions, prune their columns, and swap back."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from videowino.report import ConversionReport, report
from videowino.winograd.columns import select_columns, winograd_layers
from videowino.winograd.eligibility import ineligible_reason
from videowino.winograd.layers import WinogradConv3d
from videowino.winograd.parameterization import check_parameterization, max_rank
from videowino.winograd.tile import fit_tile
from videowino.winograd.transforms import filter_matrix

# |U - g K^T| / |U| up to which a Winograd weight counts as that of an ordinary filter: float32
# rounding of U stays well below, one pruned column lies far above.
EXACT = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 5e-2}


def convert(
    model: nn.Module,
    *,
    parameterization: str = "low_rank",
    rank: int = 8,
    tile: int | Sequence[int] = (2, 4, 4),
    points: str | None = None,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    example: Any = None,
) -> ConversionReport:
    """Replace every eligible Conv3d of a model, in place, by a `WinogradConv3d` that equals it.

    A module used in several places is swapped once and stays shared. Layers with stride,
    dilation, groups or other taps stay; the report says why. Hooks of a swapped Conv3d are not
    carried over.

    Args:
        model: Any module that contains Conv3d.
        parameterization: `spatial`, `vanilla`, `low_rank` or `factored`. The default trains
            few parameters and starts exactly.
        rank: s, for `low_rank` and `factored`. Layers whose kernel allows less (a 3x1x1 has
            three taps) take as much as they can.
        tile: Outputs per tile, one number or (depth, height, width); one on axes with one tap.
        points: Interpolation points, see `Tile.points`.
        include: Shell patterns of layer names to swap, "layer1.*"; all when None.
        exclude: Shell patterns of layer names to leave.
        example: A clip N C D H W (or what the model takes), to count multiplications for.

    Returns:
        The report: print it.

    Raises:
        ValueError: An argument is out of range, or a pattern matches no convolution.
        TypeError: `model` is a Conv3d itself, which cannot be replaced in place.
    """
    if isinstance(model, nn.Conv3d):
        raise TypeError(
            "model is a Conv3d itself; use WinogradConv3d.from_conv(conv), or wrap it in a module"
        )
    check_parameterization(parameterization, rank, fit_tile(tile, (3, 3, 3), points))
    convs = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv3d)]
    _check_patterns([name for name, _ in convs], include, exclude)
    notes: dict[str, str] = {}
    swaps: dict[nn.Module, nn.Module] = {}
    for name, conv in convs:
        reason = _why_not(name, conv, include, exclude)
        if reason:
            notes[name] = reason
            continue
        fitted = fit_tile(tile, conv.kernel_size, points)
        limit = max_rank(parameterization, fitted)
        layer = WinogradConv3d.from_conv(
            conv,
            tile=tile,
            parameterization=parameterization,
            rank=min(rank, limit),
            points=points,
        )
        swaps[conv] = layer
        if layer.fit_error:
            notes[name] = f"rank {layer.rank} fits U up to {layer.fit_error:.1%}"
    _replace(model, swaps)
    return report(model, example, notes=notes, title="Conversion")


def prune(
    model: nn.Module,
    sparsity: float,
    *,
    score: str = "held",
    budget: str = "uniform",
    compensate: bool = True,
    example: Any = None,
) -> ConversionReport:
    """Set hard column masks on all Winograd layers of a model, in place.

    The masks are chosen anew, whatever was pruned before.

    Args:
        model: A model with Winograd layers.
        sparsity: Fraction of columns to prune, 0 up to below 1.
        score: "held" takes the scores that the layers accumulated while training, or magnitude
            where there are none; "magnitude" and "reconstruction" look at the weights.
        budget: "uniform" or "global", see `select_columns`.
        compensate: Let the kept columns make up for the pruned ones, which costs nothing and
            keeps most of the output (see `videowino.winograd.compensation`).
        example: A clip to count multiplications for.

    Raises:
        ValueError: sparsity, score or budget out of range, no Winograd layer in the model, or,
            with a global budget, some layers with held scores and some without.
    """
    layers = winograd_layers(model)
    if not layers:
        raise ValueError("model has no WinogradConv3d; call videowino.convert(model) first")
    if score == "held" and budget == "global":
        if len({int(layer.score_steps) > 0 for layer in layers.values()}) > 1:
            raise ValueError(
                "score='held' with budget='global' compares held scores with magnitudes: some "
                "layers hold none; use score='magnitude' or budget='uniform'"
            )
    scores = {name: layer.scores(score) for name, layer in layers.items()}
    for name, mask in select_columns(scores, sparsity, budget).items():
        layers[name].set_column_mask(mask, compensate)
    return report(model, example, title=f"Pruned {sparsity:.1%} of the columns")


def restore(model: nn.Module, *, example: Any = None) -> ConversionReport:
    """Turn Winograd layers back into Conv3d, in place, where a Conv3d computes the same.

    It does as long as the Winograd weight is the transform of some filter: before training,
    always with `spatial` and untouched gates, not after pruning. Layers that have left that
    space stay, and the report says by how much.
    """
    notes: dict[str, str] = {}
    swaps: dict[nn.Module, nn.Module] = {}
    for name, layer in winograd_layers(model).items():
        spatial, error = _nearest_filter(layer)
        limit = EXACT[spatial.dtype]
        if error > limit:
            notes[name] = f"no filter computes this: the nearest is {error:.2%} away"
            continue
        swaps[layer] = _conv_from(layer, spatial)
    _replace(model, swaps)
    return report(model, example, notes=notes, title="Restoration")


def _nearest_filter(layer: WinogradConv3d) -> tuple[Tensor, float]:
    """The least-squares filter of U = g K^T, and |U - g K^T| / |U|."""
    u = layer.winograd_weight().double().flatten(0, 1)
    k = filter_matrix(layer.tile, torch.float64, u.device)
    g = u @ torch.linalg.pinv(k).T
    norm = u.norm()
    error = ((u - g @ k.T).norm() / norm).item() if norm > 0 else 0.0
    dtype = layer.gate.dtype
    shape = (layer.out_channels, layer.in_channels, *layer.tile.taps)
    return g.reshape(shape).to(dtype), error


def _conv_from(layer: WinogradConv3d, spatial: Tensor) -> nn.Conv3d:
    conv = nn.Conv3d(
        layer.in_channels,
        layer.out_channels,
        layer.tile.taps,
        padding=layer.padding,  # type: ignore[arg-type]
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
        device=spatial.device,
        dtype=spatial.dtype,
    )
    conv.weight = nn.Parameter(spatial, requires_grad=layer.gate.requires_grad)
    conv.bias = layer.bias
    return conv.train(layer.training)


def _replace(model: nn.Module, swaps: dict[nn.Module, nn.Module]) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child in swaps:
                parent._modules[name] = swaps[child]


def _why_not(
    name: str,
    conv: nn.Conv3d,
    include: str | Sequence[str] | None,
    exclude: str | Sequence[str] | None,
) -> str | None:
    if include is not None and not _matches(name, include):
        return "not included"
    if exclude is not None and _matches(name, exclude):
        return "excluded"
    return ineligible_reason(conv)


def _check_patterns(names: list[str], *patterns: str | Sequence[str] | None) -> None:
    for given in patterns:
        for pattern in _as_list(given):
            if not any(fnmatchcase(name, pattern) for name in names):
                shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
                raise ValueError(f"pattern {pattern!r} matches no Conv3d; there are {shown}")


def _matches(name: str, patterns: str | Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in _as_list(patterns))


def _as_list(patterns: str | Sequence[str] | None) -> list[str]:
    if patterns is None:
        return []
    return [patterns] if isinstance(patterns, str) else list(patterns)
