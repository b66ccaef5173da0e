"""Least-squares compensation: the kept columns make up for the pruned ones.

One output of a tile is ``y = sum_p U_p a_p (b_p . d)``, so pruning columns leaves an error that
the others can largely cancel, because the columns overlap: for input with covariance R, the
expected output of a weight change e (a row over columns) is ``e H e^T`` with

    H = (A A^T) * (B^T R B)        (P x P, elementwise product of the two Gram matrices).

Refitting the kept columns S to minimise it is a linear map that depends on tile and mask alone,
``U_S' = U H[:, S] H[S, S]^-1``. For a filter, U = g K^T, it is simply another filter transform.
The cheapest column to remove next, refit included, is Optimal Brain Surgeon's
(Hassibi and Stork, NIPS 1992): the one with the least u_p^2 / [H^-1]_pp.

R is that of a smooth signal, correlation 0.9 between neighbours on each axis: video and the
features of video are smooth, and for white input nothing could be made up for. This choice, and
the use of the two ideas on Winograd columns, is this project's.
"""

from functools import cache

import torch
from torch import Tensor

from videowino.winograd.tile import Tile
from videowino.winograd.transforms import axis_matrices

NEIGHBOUR_CORRELATION = 0.9
# Relative to H's mean diagonal: keeps refitted weights small where columns nearly coincide.
_RIDGE = 1e-6


@cache
@torch.inference_mode(False)  # cached: must also serve training later
def output_gram(tile: Tile) -> Tensor:
    """H of the module's header, (P, P) float64, for one input channel of unit variance."""
    gram = torch.ones(1, 1, dtype=torch.float64)
    matrices = axis_matrices(tile, torch.float64, torch.device("cpu"))
    for (output, _, input_), alpha in zip(matrices, tile.alpha, strict=True):
        lag = torch.arange(alpha)
        covariance = NEIGHBOUR_CORRELATION ** (lag[:, None] - lag).abs().double()
        axis = (output.T @ output) * (input_ @ covariance @ input_.T)
        gram = torch.kron(gram, axis)
    return gram


def refit(tile: Tile, before: Tensor | None, after: Tensor | None) -> Tensor:
    """The map X, (P_before, P_after) float64, with U_after = U_before X.

    Args:
        tile: The tile.
        before: Kept columns of the weight as it is, ascending int64; all when None.
        after: Kept columns of the weight to be.
    """
    gram = output_gram(tile)
    every = torch.arange(tile.positions)
    old = every if before is None else before.cpu()
    new = every if after is None else after.cpu()
    kept = gram[new][:, new]
    ridge = _RIDGE * gram.diagonal().mean()
    shared = (old[:, None] == new).double()
    # The ridge pulls towards the weights as they are, not towards zero: what stays is unchanged
    # where nothing is pruned.
    target = gram[old][:, new] + ridge * shared
    return torch.linalg.solve(kept + ridge * torch.eye(len(new), dtype=torch.float64), target.T).T


def block_refit(tile: Tile, mask: Tensor) -> Tensor:
    """`refit` of all columns by each block of channels, (B, P, P') float64, zero where pruned.

    Args:
        tile: The tile.
        mask: (B, P) bool, kept columns by block; P' of them are kept in some block.
    """
    mask = mask.cpu()
    maps = torch.zeros(*mask.shape, mask.shape[1], dtype=torch.float64)
    for own, kept in zip(maps, mask, strict=True):
        own[:, kept] = refit(tile, None, kept.nonzero().flatten())
    return maps[:, :, mask.any(0)]


def elimination_scores(tile: Tile, moment: Tensor) -> Tensor:
    """Importance by greedy removal with refit, (P,) float64: the error each removal adds.

    Args:
        tile: The tile.
        moment: U^T U, (P, P): all that the greedy search needs of the weight.

    Returns:
        The share of the layer's output energy lost by the time the column goes, as its square
        root; ascending in the order of removal. Zero for a zero weight.
    """
    gram = output_gram(tile)
    eye = torch.eye(len(gram), dtype=torch.float64)
    inverse = torch.linalg.inv(gram + _RIDGE * gram.diagonal().mean() * eye)
    moment = moment.double().cpu().clone()
    energy = (moment * gram).sum()
    scores = torch.zeros(len(gram), dtype=torch.float64)
    if energy <= 0:
        return scores
    left = torch.ones(len(gram), dtype=torch.bool)
    lost = torch.zeros((), dtype=torch.float64)
    for _ in range(len(gram)):
        cost = (moment.diagonal() / inverse.diagonal()).clamp_min(0).masked_fill(~left, torch.inf)
        worst = int(cost.argmin())
        lost = lost + cost[worst]
        scores[worst] = lost
        left[worst] = False
        step = inverse[worst] / inverse[worst, worst]
        moment = moment - torch.outer(moment[:, worst], step)
        moment = moment - torch.outer(step, moment[worst])
        inverse = inverse - torch.outer(inverse[:, worst], step)
        inverse[worst, worst] = 1.0
    return (scores / energy).sqrt()
