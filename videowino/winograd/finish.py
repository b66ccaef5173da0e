"""What a convolution does beside summing: residual, ReLU, pooling, and a weight in fewer bits."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from videowino.winograd.tile import Triple

WEIGHT_BITS = (32, 16)
_LARGEST = 2**15 - 1


@dataclass(frozen=True)
class MaxPool:
    """Max pooling by windows side by side: the stride is the kernel, and nothing is padded.

    Attributes:
        window: Samples per axis, 1 or 2.
        ceil: Whether windows that are cut off by the end count, as `ceil_mode` of PyTorch's.

    Raises:
        ValueError: Another window, or one that pools nothing.
    """

    window: Triple
    ceil: bool = False

    def __post_init__(self) -> None:
        sizes = len(self.window) == 3 and all(n in (1, 2) for n in self.window)
        if not sizes or max(self.window) == 1:
            raise ValueError(f"window={self.window!r} is no pooling by 2 along some of three axes")

    def __call__(self, y: Tensor) -> Tensor:
        """y: N C D H W."""
        return F.max_pool3d(y, self.window, ceil_mode=self.ceil)

    def fits(self, m: Sequence[int]) -> bool:
        """Whether no window reaches into another tile of m outputs per axis."""
        return all(outputs % n == 0 for outputs, n in zip(m, self.window, strict=True))

    def size_of(self, size: Sequence[int]) -> Triple:
        """Of the pooled result.

        Raises:
            ValueError: There is nothing left of it.
        """
        d, h, w = (
            -(-length // n) if self.ceil else length // n
            for length, n in zip(size, self.window, strict=True)
        )
        if min(d, h, w) < 1:
            raise ValueError(
                f"a result of {tuple(size)} is too small to be pooled by {self.window}"
            )
        return d, h, w


@dataclass(frozen=True)
class Finish:
    """The rest of a fused convolution, y = pool(relu(sums + bias + residual)).

    Attributes:
        residual: Of the result's shape, added after the bias.
        relu: Whether negative results become zero.
        weight_bits: 16 stores U as whole numbers with a scale for each column (`rounded`), which
            halves what wide layers read; sums stay in 32 bits.
        pool: One that fits the tile; without residual.
    """

    residual: Tensor | None = None
    relu: bool = False
    weight_bits: int = 32
    pool: MaxPool | None = None

    def __call__(self, y: Tensor) -> Tensor:
        """Residual and ReLU, in place; the pooled result is another."""
        if self.residual is not None:
            y += self.residual
        y = y.relu_() if self.relu else y
        return y if self.pool is None else self.pool(y)

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the result, where the convolution's is `shape`, N C D H W."""
        return shape if self.pool is None else (*shape[:2], *self.pool.size_of(shape[2:]))


PLAIN = Finish()


def rounded(u: Tensor) -> Tensor:
    """U as it is applied with 16 bits; u: P' first, each column with a scale of its own.

    A column with a value that is not finite becomes NaN as a whole, as in the kernel.
    """
    flat = u.flatten(1)
    scale = flat.abs().amax(1, keepdim=True) / _LARGEST
    scale = torch.where(scale * _LARGEST <= 1e-30, torch.ones_like(scale), scale)
    return ((flat / scale).round() * scale).view_as(u)
