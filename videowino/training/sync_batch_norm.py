"""Batch norm over the clips of all processes where they compute on CPUs, which torch's refuses.

x: N C D H W.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class SyncedOnCPU(TorchSyncBatchNorm):
    """Lightning's plugin for `sync_batchnorm` on CPUs.

    Layers stay the modules that they are, so that whoever holds one (an optimizer, hooks) still
    does.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """The model with its batch norms synchronized."""
        for module in model.modules():
            if type(module) in _KINDS:
                module._was = type(module)  # type: ignore[assignment]
                module.__class__ = SyncBatchNorm
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """The model with them as they were."""
        for module in model.modules():
            if isinstance(module, SyncBatchNorm):
                module.__class__ = module._was  # type: ignore[assignment]
                del module._was
        return model


def is_synchronized(model: nn.Module) -> bool:
    """Whether processes wait for each other in batch norms of the model."""
    return any(isinstance(module, SyncBatchNorm | nn.SyncBatchNorm) for module in model.modules())


class SyncBatchNorm(_BatchNorm):
    """`torch.nn.SyncBatchNorm`, by the definition.

    Each process's mean and variance go into those of all as Chan et al. add them up ("Updating
    Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979), in float64, so that
    any number of processes comes to the same figures. A process may have no clips.
    """

    _was: type[nn.Module]

    def _check_input_dim(self, input: Tensor) -> None:
        """Any that has channels."""

    def forward(self, input: Tensor) -> Tensor:
        """x: N C D H W."""
        x = input
        alone = not dist.is_initialized() or dist.get_world_size() == 1
        if alone or not self.training:
            return super().forward(x)
        mean, variance, count = _of_all(x)
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * count / max(count - 1, 1))
        shape = (1, -1, *(1,) * (x.dim() - 2))
        scale = (variance + self.eps).rsqrt().to(x.dtype)
        y = (x - mean.to(x.dtype).view(shape)) * scale.view(shape)
        return y * self.weight.view(shape) + self.bias.view(shape) if self.affine else y

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:  # the mean of all
            momentum = 1 / int(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


def _of_all(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and variance of each channel over all processes, (C,) float64, and the places."""
    count = x.numel() // x.shape[1]
    if count:
        variance, mean = torch.var_mean(x, [d for d in range(x.dim()) if d != 1], correction=0)
    else:  # of no clips, with gradients all the same: the other processes wait for them
        mean = variance = x.sum([d for d in range(x.dim()) if d != 1])
    mean, variance = mean.double(), variance.double()
    own = torch.stack([torch.ones_like(mean), mean, variance + mean.square()]) * count
    counts, sums, squares = _SumOfProcesses.apply(own)
    total = float(counts[0].detach())
    mean = sums / total
    return mean, (squares / total - mean.square()).clamp_min(0), total


class _SumOfProcesses(torch.autograd.Function):
    """Sum over processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        return _summed(own)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(own: Tensor) -> Tensor:
    total = own.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
