"""A fully connected layer with its ReLU, by its fastest algorithm.

At batch 1 it is nothing but reading its weight, which PyTorch's routine does at half the speed of
memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from videowino.deployment.convolution import PRODUCT
from videowino.deployment.tune import UNPADDED, Pads, Run, Tuned, Tuner
from videowino.kernels.frozen import FrozenConv3d


class FusedLinear(Tuned):
    """relu(x weight^T + bias) for x (N, C_in); other shapes go to PyTorch.

    Args:
        linear: The layer, whose parameters are shared.
        relu: Whether there is a ReLU.
        tuner: Measures.
    """

    def __init__(self, linear: nn.Linear, relu: bool, tuner: Tuner) -> None:
        super().__init__(relu, tuner)
        self.linear = linear

    def algorithms(self, x: Tensor, pads: Pads = UNPADDED) -> dict[str, Callable[[], Run]]:
        """PyTorch's own, and the convolution kernel's matrix product."""
        found: dict[str, Callable[[], Run]] = {"linear": lambda: self._plain}
        conv = self._as_conv()
        if x.dim() == 2 and x.device.type == "cpu" and FrozenConv3d.fits(conv, (1, 1, 1)):
            found[PRODUCT] = lambda: self._product(conv)
        return found

    def geometry(self) -> tuple[object, ...]:
        """All of the layer that times depend on."""
        linear = self.linear
        return linear.in_features, linear.out_features, linear.bias is None

    def _plain(self, x: Tensor, residual: Tensor | None) -> Tensor:
        return self.finish(F.linear(x, self.linear.weight, self.linear.bias), residual)

    def _product(self, conv: nn.Conv3d) -> Run:
        frozen = FrozenConv3d(conv, (1, 1, 1))

        def run(x: Tensor, residual: Tensor | None) -> Tensor:
            added = None if residual is None else residual.view(*residual.shape, 1, 1, 1)
            return frozen(x.reshape(*x.shape, 1, 1, 1), added, self.relu).flatten(1)

        return run

    def _as_conv(self) -> nn.Conv3d:
        linear = self.linear
        conv = nn.Conv3d(linear.in_features, linear.out_features, 1, bias=False, device="meta")
        conv.weight = nn.Parameter(linear.weight.detach()[:, :, None, None, None], False)
        conv.bias = linear.bias
        return conv


def is_plain_linear(module: nn.Module | None) -> bool:
    """Whether it is PyTorch's fully connected layer, with no hooks and no parametrization."""
    hooked = module is not None and (module._forward_hooks or module._forward_pre_hooks)
    return type(module) is nn.Linear and not hooked
