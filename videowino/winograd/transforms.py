"""Transform matrices as tensors, applied axis by axis to tiled volumes.

Shapes: x: N D H W C, channels last, so that every copy and sum runs over whole channel vectors.
Tiled volumes are P N T_d T_h T_w C with P = alpha_d alpha_h alpha_w Winograd-domain positions,
depth slowest, and T tiles per axis.
"""

from functools import cache
from math import prod

import torch
from torch import Tensor

from videowino.winograd.cook_toom import Matrix
from videowino.winograd.tile import Tile, Triple

_AXES = (-4, -3, -2)  # depth, height, width


# Results that are cached must also serve training where inference mode made them.
@cache
@torch.inference_mode(False)
def axis_matrices(
    tile: Tile, dtype: torch.dtype, device: torch.device
) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """(A^T, G, B^T) for depth, height and width."""

    def tensor(matrix: Matrix) -> Tensor:
        rows = [[float(value) for value in row] for row in matrix]
        return torch.tensor(rows, dtype=torch.float64, device="cpu").to(device, dtype)

    return tuple((tensor(t.output), tensor(t.filter), tensor(t.input)) for t in tile.transforms())


@cache
@torch.inference_mode(False)
def filter_matrix(tile: Tile, dtype: torch.dtype, device: torch.device) -> Tensor:
    """K = G_d (x) G_h (x) G_w, shape (P, taps): the Winograd weight is U = g K^T."""
    d, h, w = (g for _, g, _ in axis_matrices(tile, torch.float64, torch.device("cpu")))
    return torch.kron(torch.kron(d, h), w).to(device=device, dtype=dtype)


@cache
@torch.inference_mode(False)
def column_gain(tile: Tile) -> Tensor:
    """How strongly each column reaches the output, (P,) in float64.

    For white input of unit variance, column p of the input transform has standard deviation
    |b_p| and reaches the outputs of its tile through |a_p|. Their product turns the norm of a
    column's weights into its share of the output, whatever the scale of the transforms.
    """
    gains = [
        b.norm(dim=1) * a.norm(dim=0)
        for a, _, b in axis_matrices(tile, torch.float64, torch.device("cpu"))
    ]
    return torch.kron(torch.kron(gains[0], gains[1]), gains[2])


def tile_counts(tile: Tile, output_size: Triple) -> Triple:
    """Tiles per axis that cover an output."""
    d, h, w = (-(-size // m) for size, m in zip(output_size, tile.m, strict=True))
    return d, h, w


def to_winograd(x: Tensor, tile: Tile) -> Tensor:
    """B^T d per tile: N D H W C (D = (T_d - 1) step_d + samples_d, ...) to P N T_d T_h T_w C."""
    for index, axis in reversed(list(enumerate(_AXES))):
        matrix = axis_matrices(tile, x.dtype, x.device)[index][2]
        tiles = x.unfold(axis, tile.samples[index], tile.step[index]).movedim(-1, 0)
        x = _apply(matrix, tiles)
    return x.flatten(0, 2)


def from_winograd(products: Tensor, tile: Tile) -> Tensor:
    """A^T M per tile: P N T_d T_h T_w C to N (T_d m_d) (T_h m_h) (T_w m_w) C."""
    matrices = [a for a, _, _ in axis_matrices(tile, products.dtype, products.device)]
    y = _apply_to_front(matrices, products, tile.alpha)
    n, td, th, tw, c = y.shape[3:]
    y = y.permute(3, 4, 0, 5, 1, 6, 2, 7)
    return y.reshape(n, td * tile.m[0], th * tile.m[1], tw * tile.m[2], c)


def from_winograd_adjoint(grad: Tensor, tile: Tile) -> Tensor:
    """The transpose of `from_winograd`: N (T_d m_d) ... C to P N T_d T_h T_w C."""
    n, *size, c = grad.shape
    td, th, tw = (s // m for s, m in zip(size, tile.m, strict=True))
    tiles = grad.reshape(n, td, tile.m[0], th, tile.m[1], tw, tile.m[2], c)
    tiles = tiles.permute(2, 4, 6, 0, 1, 3, 5, 7).flatten(0, 2)
    matrices = [a.T for a, _, _ in axis_matrices(tile, grad.dtype, grad.device)]
    return _apply_to_front(matrices, tiles, tile.m).flatten(0, 2)


def to_winograd_adjoint(grad: Tensor, tile: Tile) -> Tensor:
    """The transpose of `to_winograd`: P N T_d T_h T_w C to N D H W C, tiles overlap-added."""
    matrices = [b.T for _, _, b in axis_matrices(tile, grad.dtype, grad.device)]
    x = _apply_to_front(matrices, grad, tile.alpha)
    for index, axis in enumerate(_AXES):
        x = _overlap_add(x, axis, tile.step[index])
    return x


def _apply(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply the first dimension of x by a small matrix."""
    return (matrix @ x.reshape(x.shape[0], -1)).reshape(matrix.shape[0], *x.shape[1:])


def _apply_to_front(matrices: list[Tensor], x: Tensor, sizes: Triple) -> Tensor:
    """Multiply the leading dimension, split into `sizes`, by one matrix per factor."""
    rest = x.shape[1:]
    columns = prod(rest)
    done = 1
    for index, matrix in enumerate(matrices):
        inner = prod(sizes[index + 1 :]) * columns
        x = matrix @ x.reshape(done, sizes[index], inner)
        done *= matrix.shape[0]
    return x.reshape(*(matrix.shape[0] for matrix in matrices), *rest)


def _overlap_add(x: Tensor, axis: int, step: int) -> Tensor:
    """Sum tiles of the first dimension's samples, `step` apart, along a negative axis."""
    samples, tiles = x.shape[0], x.shape[axis]
    shape = list(x.shape[1:])
    shape[axis] = tiles * step + samples - step
    out = x.new_zeros(shape)
    for sample in range(samples):
        stop = sample + (tiles - 1) * step + 1
        out.transpose(axis, 0)[sample:stop:step] += x[sample].transpose(axis, 0)
    return out
