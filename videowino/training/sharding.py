"""A network's parameters as shards, one of each in every process, and Winograd layers whole.

PyTorch's `fully_shard` (FSDP2) brings parameters together for the forward and the backward pass and
leaves each process its rows of their gradients' average. Scores of columns are sums over whole
gradients, masks and refits act on whole weights, so the parameters of Winograd layers are left out
of that: every process has all of them, and their gradients are averaged here, as
DistributedDataParallel would. What is sharded is the rest, of which fully connected layers are
nearly everything.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from videowino.cli import require
from videowino.winograd import winograd_layers

_BUCKET = 25 * 2**20  # bytes that processes send each other at once, as DistributedDataParallel's


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Leave each process its rows of the parameters that are not of Winograd layers.

    Fully connected layers are brought together one at a time, the rest, which is small, at once.
    Outside of a forward and backward pass parameters are shards (`DTensor`); a state dict has them
    whole, so all processes have to ask for one.

    Args:
        network: the same in all processes; changed in place, its memory format included: shards
            are contiguous.
        mesh: of one dimension, all processes.

    Raises:
        ValueError: PyTorch is older than 2.7.
    """
    require(
        "ignored_params" in inspect.signature(fully_shard).parameters,
        f"trainer.strategy: to shard all but the Winograd layers takes PyTorch 2.7 or newer, this "
        f"is {torch.__version__}; choose ddp",
    )
    left_out = {p for layer in winograd_layers(network).values() for p in layer.parameters()}
    for parameter in network.parameters():
        if parameter not in left_out:
            parameter.data = parameter.data.contiguous()
    options: dict[str, Any] = {"mesh": mesh, "ignored_params": left_out}
    for module in network.modules():
        if isinstance(module, nn.Linear) and module is not network:
            fully_shard(module, reshard_after_forward=True, **options)
    fully_shard(network, reshard_after_forward=True, **options)
    network.register_state_dict_post_hook(_made_whole)


def is_sharded(module: nn.Module) -> bool:
    """Whether processes wait for each other in forward passes, to bring parameters together."""
    return any(isinstance(part, FSDPModule) for part in module.modules())


def whole(tensor: Tensor) -> Tensor:
    """The tensor; of a shard what all processes have of it, which all ask for, on the CPU."""
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def own(tensor: Tensor) -> Tensor:
    """What this process has of a tensor: a view of its rows, or all of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's rows of a tensor that all have, if a parameter of its shape is sharded."""
    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    tensor = tensor.to(parameter.device)
    return distribute_tensor(
        tensor, parameter.device_mesh, parameter.placements, src_data_rank=None
    )


@torch.no_grad()
def average_whole_gradients(network: nn.Module) -> None:
    """Average those gradients that `fully_shard` leaves alone over all processes.

    Where gradients accumulate, what was averaged before is the same in all processes, and so stays
    as it is.

    Args:
        network: sharded.
    """
    gradients = [
        parameter.grad
        for parameter in network.parameters()
        if parameter.grad is not None and not isinstance(parameter, DTensor)
    ]
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        parts = flat.split([gradient.numel() for gradient in bucket])
        for gradient, part in zip(bucket, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))


@torch.no_grad()
def gradient_norm(gradients: Iterable[Tensor]) -> Tensor:
    """Norm of all gradients together; where some are shards, all processes ask for it.

    Args:
        gradients: whole ones and shards.
    """
    kinds: dict[bool, list[Tensor]] = {True: [], False: []}
    for gradient in gradients:
        kinds[isinstance(gradient, DTensor)].append(own(gradient))
    squares = {
        kind: torch.nn.utils.get_total_norm(found).double().square()
        for kind, found in kinds.items()
        if found
    }
    if True in squares:
        dist.all_reduce(squares[True])
    return sum(squares.values(), torch.zeros((), dtype=torch.float64)).sqrt()


@torch.no_grad()
def clip_gradients(gradients: Iterable[Tensor], most: float, algorithm: str | None) -> None:
    """Clip gradients as Lightning does, over whole ones and shards together.

    Args:
        gradients: changed in place.
        most: largest norm, or value.
        algorithm: "norm" (also if None) or "value".
    """
    found = list(gradients)
    if algorithm == "value":
        for gradient in found:
            own(gradient).clamp_(-most, most)
        return
    scale = (most / (gradient_norm(found) + 1e-6)).clamp(max=1.0)
    for gradient in found:
        own(gradient).mul_(scale.to(gradient.device, gradient.dtype))


@torch.no_grad()
def same_in_all(tensors: Iterable[Tensor]) -> None:
    """Give all processes the first one's.

    Args:
        tensors: whole, changed in place.
    """
    for tensor in tensors:
        sent = tensor.detach().contiguous()
        dist.broadcast(sent, 0)
        tensor.copy_(sent)


def _made_whole(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name, value in state.items():
        state[name] = whole(value)


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and (size + gradient.nbytes > _BUCKET or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.nbytes
    if bucket:
        yield bucket
