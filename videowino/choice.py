"""Which convolutions of a model a conversion takes, and why it leaves the others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from videowino.multiplications import Convolution
from videowino.winograd.eligibility import ineligible_reason
from videowino.winograd.layers import WinogradConv3d
from videowino.winograd.parameterization import (
    FACTORIZED,
    check_parameterization,
    max_rank,
    spectral_rank,
)
from videowino.winograd.tile import Tile, fit_tile

Patterns = str | Sequence[str] | None
RankChoice = int | float | Mapping[str, int]
ALREADY = "a Winograd layer already, left as it is"


def choose(
    model: nn.Module,
    found: Mapping[str, Convolution],
    include: Patterns,
    exclude: Patterns,
    keeps_ties: bool,
    strided: bool = False,
) -> tuple[dict[str, nn.Conv3d], dict[str, str]]:
    """The convolutions to swap, and for the others why not.

    Args:
        model: What they are in.
        found: All its convolutions.
        include: Shell patterns of names to swap; all when None.
        exclude: Shell patterns of names to leave.
        keeps_ties: Whether a weight that is another module's too stays so in a swap.
        strided: Whether strides of 2 are swapped.

    Raises:
        ValueError: A pattern matches nothing.
    """
    _check_patterns(list(found), include=include, exclude=exclude)
    uses = Counter(id(p) for module in model.modules() for p in module._parameters.values())
    chosen: dict[str, nn.Conv3d] = {}
    notes: dict[str, str] = {}
    for name, layer in found.items():
        asked = "not included" if include is not None and not _matches(name, include) else None
        if asked is None and exclude is not None and _matches(name, exclude):
            asked = "excluded"
        if isinstance(layer, WinogradConv3d):
            if asked is None:
                notes[name] = ALREADY
            continue
        reason = asked or ineligible_reason(layer, strided)
        if reason is None and not keeps_ties and uses[id(layer.weight)] > 1:
            reason = "its weight is another layer's too, which only spatial keeps so"
        if reason:
            notes[name] = reason
        else:
            chosen[name] = layer
    return chosen, notes


def fit_layer(name: str, conv: nn.Conv3d, tile: int | Sequence[int], points: str | None) -> Tile:
    """The tile of one layer.

    Raises:
        ValueError: The points are for another kernel.
    """
    try:
        return fit_tile(tile, conv.kernel_size, points, conv.stride)
    except ValueError as error:
        raise ValueError(
            f"layer {name!r}: {error}; points are for one kernel, convert the layers of each "
            "apart, with include="
        ) from None


def choose_ranks(
    chosen: Mapping[str, nn.Conv3d],
    tiles: Mapping[str, Tile],
    parameterization: str,
    rank: RankChoice,
    widest: Tile,
) -> dict[str, int]:
    """The rank of each layer: as asked, no more than its kernel allows.

    Args:
        chosen: The layers to swap.
        tiles: Of them.
        parameterization: What they become.
        rank: One for all; a share of each layer's energy; or each layer's own.
        widest: The largest tile there is, which allows the highest rank.

    Raises:
        ValueError: It is out of range, or names none for a layer.
    """
    most = {name: max_rank(parameterization, tile) for name, tile in tiles.items()}
    if isinstance(rank, Mapping):
        missing = [name for name in chosen if name not in rank]
        if missing and parameterization in FACTORIZED:
            raise ValueError(f"rank: names none for the layer {missing[0]!r}")
        for name in chosen:
            check_parameterization(parameterization, rank.get(name, 1), tiles[name])
        return {name: rank.get(name, 1) for name in chosen}
    if isinstance(rank, float) and parameterization in FACTORIZED:
        if not 0 < rank <= 1:
            raise ValueError(
                f"rank={rank!r}: a whole number, or a share of the energy, above 0 and up to 1"
            )
        found = {n: spectral_rank(conv.weight, tiles[n], rank) for n, conv in chosen.items()}
        return {name: min(found[name], most[name]) for name in chosen}
    # Without factors nothing asks for it.
    whole = 1 if isinstance(rank, float) or parameterization not in FACTORIZED else rank
    check_parameterization(parameterization, whole, widest)
    return {name: min(whole, most[name]) for name in chosen}


def _check_patterns(names: list[str], **patterns: Patterns) -> None:
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    there = f"there are {shown}" if names else "the model has none"
    for option, given in patterns.items():
        for pattern in _as_list(given):
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(f"{option}={pattern!r} matches no 3D convolution; {there}")


def _matches(name: str, patterns: Patterns) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in _as_list(patterns))


def _as_list(patterns: Patterns) -> list[str]:
    if patterns is None:
        return []
    return [patterns] if isinstance(patterns, str) else list(patterns)
