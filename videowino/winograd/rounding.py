"""How much rounding error a tile adds, estimated."""

from math import prod

import torch
from torch import Tensor

from videowino.winograd.cook_toom import Matrix, Transforms1d
from videowino.winograd.tile import Tile

# Float32 layers of 4 to 64 channels measure 0.4 to 2 times the estimate, for kernels of 2 to 7
# taps.
_MEASURED = 3.0


def amplification(transforms: Transforms1d) -> float:
    """By how much one axis amplifies rounding, 1 for the trivial transforms.

    To first order: with U and V rounded independently, and white input, output i has the error
    variance ``sum_p A_ip^2 |g_p|^2 |b_p|^2``; this is its mean's root over the output's own.
    """
    output, filters, inputs = (
        _squares(m) for m in (transforms.output, transforms.filter, transforms.input)
    )
    variance = output @ (filters.sum(1) * inputs.sum(1))
    return (variance.mean() / transforms.taps).sqrt().item()


def rounding_error(tile: Tile) -> float:
    """About the relative RMS difference of a float32 layer from the exact convolution."""
    return _MEASURED * 2.0**-24 * prod(amplification(axis) for axis in tile.transforms())


def _squares(matrix: Matrix) -> Tensor:
    rows = [[float(value) ** 2 for value in row] for row in matrix]
    return torch.tensor(rows, dtype=torch.float64, device="cpu")
