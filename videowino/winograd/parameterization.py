"""What is trained of a Winograd weight, and how each kind starts without loss.

A matrix view is used throughout: U as (C_out * C_in) x P, the spatial filter g as
(C_out * C_in) x taps, so U = g K^T.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from videowino.winograd.tile import Tile, is_whole
from videowino.winograd.transforms import filter_matrix

Parameterization = Literal["spatial", "vanilla", "low_rank", "factored"]
FACTORIZED = ("low_rank", "factored")


@dataclass(frozen=True)
class Factors:
    """left (C_out * C_in, s) and right (s, P); `error` is |U - left right| / |U|."""

    left: Tensor
    right: Tensor
    error: float


def check_parameterization(parameterization: str, rank: int | None, tile: Tile) -> None:
    """Refuse what no layer can be.

    Raises:
        ValueError: Unknown parameterization, or a rank that is missing or outside 1 to P
            (`low_rank`) or 1 to the number of taps (`factored`, whose U has no higher rank).
    """
    known = get_args(Parameterization)
    if parameterization not in known:
        raise ValueError(
            f"parameterization={parameterization!r} is unknown; choose from {', '.join(known)}"
        )
    if parameterization in ("spatial", "vanilla"):
        return
    largest = max_rank(parameterization, tile)
    if not is_whole(rank) or not 1 <= rank <= largest:
        raise ValueError(
            f"rank={rank!r} is out of range for {parameterization} with {tile}; "
            f"choose 1 to {largest}"
        )


def max_rank(parameterization: str, tile: Tile) -> int:
    """P for `low_rank`; for `factored` the number of taps, above which nothing is gained."""
    d, h, w = tile.taps
    return tile.positions if parameterization == "low_rank" else min(d * h * w, tile.positions)


def spectral_rank(weight: Tensor, tile: Tile, share: float) -> int:
    """The least rank that holds a share of U's energy, the sum of its squared singular values.

    A filter that has learned little of space and time has few patterns: its layer does with fewer
    factors than one of many. The best fit of rank s holds the energy of the s largest (Eckart and
    Young, 1936).

    Args:
        weight: The spatial filters, (C_out, C_in, r_d, r_h, r_w).
        tile: Whose transform makes U of them.
        share: Of the energy, above 0 and up to 1.
    """
    k = filter_matrix(tile, torch.float64, torch.device("cpu"))
    u = weight.detach().double().cpu().flatten(2).flatten(0, 1) @ k.T
    energies, _ = _right_singular_vectors(u)
    held = energies.cumsum(0) / energies.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return int((held < share - 1e-12).sum()) + 1


def column_scale(tile: Tile) -> Tensor:
    """The length of K's rows, (P,) float64: the natural size of each column.

    `vanilla` trains U divided by it. A step of size lr then moves column p of U by
    lr |K_p|^2 times its gradient, which is what a step on the spatial filter would do on
    average, instead of treating columns of very different scale alike.
    """
    return filter_matrix(tile, torch.float64, torch.device("cpu")).norm(dim=1)


def low_rank_start(spatial: Tensor, tile: Tile, rank: int) -> Factors:
    """Start with left = 0 and right in the span of K: exactly the given layer.

    The rows of right are the rank leading right singular vectors of the filters, transformed:
    the first updates then equal those of the spatial filter within the patterns that matter
    most to it; from there both factors are free. Beyond the number of taps, where the filters
    have no further directions, the rows are random of the same scale.
    """
    d, h, w = tile.taps
    taps = d * h * w
    if spatial.is_meta:
        return _without_values(spatial, tile, rank)
    k = filter_matrix(tile, torch.float64, torch.device("cpu"))
    _, vectors = _right_singular_vectors(spatial.flatten(2).flatten(0, 1))
    right = (k @ vectors).T[:rank]
    if rank > taps:
        generator = torch.Generator().manual_seed(0)
        extra = torch.randn(rank - taps, tile.positions, generator=generator, dtype=torch.float64)
        right = torch.cat([right, extra * (k.norm() / (taps * tile.positions) ** 0.5)])
    left = spatial.new_zeros(spatial.shape[0] * spatial.shape[1], rank)
    return Factors(left, right.to(spatial), 0.0)


def factored_start(spatial: Tensor, tile: Tile, rank: int) -> Factors:
    """Start with left right = U; below full rank the best fit (Eckart and Young, 1936).

    At full rank left is the filter itself and right is K^T.
    """
    if spatial.is_meta:
        return _without_values(spatial, tile, rank)
    d, h, w = tile.taps
    k = filter_matrix(tile, torch.float64, torch.device("cpu"))
    g = spatial.detach().flatten(2).flatten(0, 1)
    if rank == d * h * w:
        return Factors(g.clone(), k.T.contiguous().to(spatial), 0.0)
    u = g.double().cpu() @ k.T
    energies, vectors = _right_singular_vectors(u)
    right = vectors[:, :rank].T
    total = energies.sum()
    error = (energies[rank:].sum() / total).sqrt().item() if total > 0 else 0.0
    return Factors((u @ right.T).to(spatial), right.contiguous().to(spatial), error)


def _without_values(spatial: Tensor, tile: Tile, rank: int) -> Factors:
    """Factors on the meta device, where there is nothing to start from yet."""
    rows = spatial.shape[0] * spatial.shape[1]
    return Factors(spatial.new_empty(rows, rank), spatial.new_empty(rank, tile.positions), 0.0)


def _right_singular_vectors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Squared singular values, largest first, and right singular vectors as columns."""
    # Through the small Gram matrix: the tall matrix can have a quarter of a million rows.
    matrix = matrix.detach().double().cpu()
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)
    return values.flip(0).clamp_min(0), vectors.flip(1)
