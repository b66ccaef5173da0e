import torch
import torch.nn.functional as F
from torch import nn

from videowino.winograd import Tile, WinogradConv3d
from videowino.winograd.compensation import (
    NEIGHBOUR_CORRELATION,
    elimination_scores,
    output_gram,
    refit,
)
from videowino.winograd.transforms import axis_matrices, filter_matrix

TILE = Tile((2, 2, 4), (3, 3, 3))
CPU = torch.device("cpu")


def smooth_clips(count, size):
    """Separable first-order autoregressive noise, neighbours correlated as assumed."""
    x = torch.randn(count, 1, *size, dtype=torch.float64)
    for axis, length in zip((2, 3, 4), size, strict=True):
        lag = torch.arange(length)
        covariance = NEIGHBOUR_CORRELATION ** (lag[:, None] - lag).abs().double()
        root = torch.linalg.cholesky(covariance)
        x = torch.tensordot(x, root, dims=([axis], [1])).movedim(-1, axis)
    return x


def energy(error):
    return ((error @ output_gram(TILE)) * error).sum()


def test_gram_is_the_expected_output_energy():
    u = torch.randn(1, 1, TILE.positions, dtype=torch.float64)
    maps = [torch.kron(torch.kron(d, h), w) for d, h, w in [_columns(0), _columns(2)]]
    tiles = smooth_clips(40000, TILE.alpha).flatten(1)
    y = (u[0] * (tiles @ maps[1].T)) @ maps[0].T
    measured = y.square().sum(1).mean()
    torch.testing.assert_close(measured, energy(u[0]), rtol=0.05, atol=0)


def _columns(which):
    return [matrices[which] for matrices in axis_matrices(TILE, torch.float64, CPU)]


def test_refit_is_the_least_squares_optimum():
    u = torch.randn(4, TILE.positions, dtype=torch.float64)
    kept = torch.randperm(TILE.positions)[:40].sort().values
    fitted = torch.zeros_like(u)
    fitted[:, kept] = u @ refit(TILE, None, kept)
    best = energy(fitted - u)
    for _ in range(5):
        nudged = fitted.clone()
        nudged[:, kept] += 1e-3 * torch.randn(4, 40, dtype=torch.float64)
        assert energy(nudged - u) > best
    plain = u.clone()
    plain[:, [p for p in range(TILE.positions) if p not in set(kept.tolist())]] = 0
    assert energy(plain - u) > 1.5 * best


def test_refit_in_two_steps_is_refit_in_one():
    outer = torch.arange(0, TILE.positions, 2)
    inner = outer[::3]
    twice = refit(TILE, None, outer) @ refit(TILE, outer, inner)
    torch.testing.assert_close(twice, refit(TILE, None, inner), rtol=1e-4, atol=1e-5)


def test_keeping_everything_changes_nothing():
    every = torch.eye(TILE.positions, dtype=torch.float64)
    torch.testing.assert_close(refit(TILE, None, None), every, rtol=0, atol=1e-8)


def test_elimination_scores_foresee_the_error_left():
    g = torch.randn(64, 27, dtype=torch.float64)
    u = g @ filter_matrix(TILE, torch.float64, CPU).T
    scores = elimination_scores(TILE, u.T @ u)
    for share in (0.25, 0.5, 0.75):
        count = round(TILE.positions * share)
        order = scores.argsort()
        kept = order[count:].sort().values
        fitted = torch.zeros_like(u)
        fitted[:, kept] = u @ refit(TILE, None, kept)
        error = (energy(fitted - u) / energy(u)).sqrt()
        torch.testing.assert_close(error, scores[order[count - 1]], rtol=0.02, atol=0)
    assert (elimination_scores(TILE, torch.zeros(96, 96)) == 0).all()


def test_half_the_columns_keep_nine_tenths_of_smooth_output():
    conv = nn.Conv3d(1, 8, 3, bias=False).double()
    x = smooth_clips(2, (10, 18, 18))
    expected = F.conv3d(x, conv.weight)
    errors = {}
    for score in ("magnitude", "reconstruction"):
        for compensate in (False, True):
            layer = WinogradConv3d.from_conv(conv, parameterization="low_rank")
            mask = torch.zeros(144, dtype=torch.bool)
            mask[layer.scores(score).argsort(descending=True)[:72]] = True
            layer.set_column_mask(mask, compensate)
            errors[score, compensate] = ((layer(x) - expected).norm() / expected.norm()).item()
    assert errors["reconstruction", True] < 0.15
    assert errors["reconstruction", True] < 0.5 * errors["reconstruction", False]
    assert errors["magnitude", True] < errors["magnitude", False]
