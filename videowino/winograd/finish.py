"""What a convolution does beside summing: residual, ReLU, and a weight in fewer bits."""

from dataclasses import dataclass

import torch
from torch import Tensor

WEIGHT_BITS = (32, 16)
_LARGEST = 2**15 - 1


@dataclass(frozen=True)
class Finish:
    """The rest of a fused convolution, y = relu(sums + bias + residual).

    Attributes:
        residual: Of the result's shape, added after the bias.
        relu: Whether negative results become zero.
        weight_bits: 16 stores U as whole numbers with a scale for each column (`rounded`), which
            halves what wide layers read; sums stay in 32 bits.
    """

    residual: Tensor | None = None
    relu: bool = False
    weight_bits: int = 32

    def __call__(self, y: Tensor) -> Tensor:
        """Residual and ReLU, in place."""
        if self.residual is not None:
            y += self.residual
        return y.relu_() if self.relu else y


PLAIN = Finish()


def rounded(u: Tensor) -> Tensor:
    """U as it is applied with 16 bits; u: P' first, each column with a scale of its own.

    A column with a value that is not finite becomes NaN as a whole, as in the kernel.
    """
    flat = u.flatten(1)
    scale = flat.abs().amax(1, keepdim=True) / _LARGEST
    scale = torch.where(scale * _LARGEST <= 1e-30, torch.ones_like(scale), scale)
    return ((flat / scale).round() * scale).view_as(u)
