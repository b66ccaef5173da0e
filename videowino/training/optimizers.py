"""Which parameters learn how fast, and which decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from videowino.winograd import WinogradConv3d

FACTORS = ("left", "right")


def optimizer_for(model: nn.Module, hparams: Mapping[str, Any]) -> torch.optim.Optimizer:
    """SGD with Nesterov's momentum, or AdamW.

    Args:
        model: the network.
        hparams: those of the classifier (`VideoClassifier`).
    """
    lr, momentum = hparams["lr"], hparams["momentum"]
    groups = parameter_groups(
        model,
        lr,
        hparams["weight_decay"],
        factor_lr_scale=hparams["factor_lr_scale"],
        vanilla_lr_scale=hparams["vanilla_lr_scale"],
    )
    if hparams["optimizer"] == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0)
    return torch.optim.AdamW(groups, lr=lr, betas=(momentum, 0.999))


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    *,
    factor_lr_scale: float = 1.0,
    vanilla_lr_scale: float = 1.0,
) -> list[dict[str, Any]]:
    """The parameters of a network, grouped for `torch.optim`.

    Norms, biases and gates do not decay: they set scales, and pulling a gate to 0 would prune by
    weight decay. Factors and `vanilla` Winograd weights have gradients of another size than the
    filters they stand for, hence learning rates of their own.

    Both factors decay by all of `weight_decay`, so their product shrinks twice as fast as a filter
    does. That is meant: the least |L|^2 + |R|^2 of all factors of one product is twice the sum of
    its singular values, so decay lowers its rank rather than its entries. In `low_rank` it pulls
    the update alone to zero, towards the frozen filter, which does not decay; in `factored` the
    whole filter, where a smaller `weight_decay` may be wanted.

    Args:
        model: the network.
        lr: learning rate.
        weight_decay: for everything that decays.
        factor_lr_scale: times `lr` for the factors left and right.
        vanilla_lr_scale: times `lr` for the weights of `vanilla` layers.

    Returns:
        The groups that are not empty, each with "name", "lr" and "weight_decay". Parameters that
        do not train are left out.
    """
    groups = {
        "weights": {"lr": lr, "weight_decay": weight_decay},
        "no_decay": {"lr": lr, "weight_decay": 0.0},
        "factors": {"lr": lr * factor_lr_scale, "weight_decay": weight_decay},
        "vanilla": {"lr": lr * vanilla_lr_scale, "weight_decay": weight_decay},
    }
    members: dict[str, list[nn.Parameter]] = {name: [] for name in groups}
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                members[_group(module, name, parameter)].append(parameter)
    return [
        {"name": name, "params": params, **groups[name]}
        for name, params in members.items()
        if params
    ]


def _group(module: nn.Module, name: str, parameter: nn.Parameter) -> str:
    if isinstance(module, WinogradConv3d):
        if name in FACTORS:
            return "factors"
        if name == "weight" and module.parameterization == "vanilla":
            return "vanilla"
    return "no_decay" if parameter.ndim <= 1 else "weights"
