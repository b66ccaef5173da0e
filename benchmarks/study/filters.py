"""The rival: whole filters pruned by their norm, and taken out of the network.

What torch offers for it, `torch.nn.utils.prune.ln_structured`, chooses the filters; it masks them
and makes nothing faster, so that they are taken out here afterwards. A filter can go where its
outputs are read by one convolution alone: inside a residual block, and all along a plain network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import prune

from videowino.cli import require
from videowino.training.length import length_of
from videowino.training.schedules import cubic_sparsity

# What keeps channels apart, and zero ones zero.
_MODULES = (nn.ReLU, nn.MaxPool3d, nn.Dropout, nn.Dropout3d, nn.Identity)
_FUNCTIONS = (torch.relu, F.relu, F.max_pool3d, F.dropout)


@dataclass(frozen=True)
class Chain:
    """A convolution, its batch norm if there is one, and the convolution that alone reads it."""

    conv: str
    norm: str | None
    reader: str


class _Tracer(fx.Tracer):
    """Sees convolutions as modules, also where a model has a class of its own for them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = isinstance(m, (nn.Conv3d, _BatchNorm, *_MODULES))
        return own or super().is_leaf_module(m, module_qualified_name)


def chains(model: nn.Module) -> list[Chain]:
    """Those of a network that fx can trace."""
    graph = _Tracer().trace(model)
    modules = dict(model.named_modules())
    called: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            called[str(node.target)] = called.get(str(node.target), 0) + 1
    found = []
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.Conv3d):
            continue
        norm, place = None, node
        while len(place.users) == 1:
            place = next(iter(place.users))
            module = modules.get(str(place.target)) if place.op == "call_module" else None
            if isinstance(module, _BatchNorm) and norm is None:
                norm = str(place.target)
            elif isinstance(module, nn.Conv3d):
                names = [str(node.target), str(place.target), *([norm] if norm else [])]
                plain = modules[node.target].groups == module.groups == 1
                if plain and all(called[name] == 1 for name in names):
                    found.append(Chain(str(node.target), norm, str(place.target)))
                break
            elif not (isinstance(module, _MODULES) or place.target in _FUNCTIONS):
                break
    return found


class FilterPruning(pl.Callback):
    """Prunes a growing share of filters by their L2 norm, on the schedule of columns.

    Pruned filters are zero, and so are the batch norms behind them.

    Args:
        sparsity: fraction of the filters of each convolution that can lose some.
        start: when pruning starts, a fraction of the training.
        end: when the last filters go.
        every: steps between two cuts.
    """

    def __init__(
        self, sparsity: float = 0.5, start: float = 0.05, end: float = 0.4, every: int = 10
    ) -> None:
        require(0 <= sparsity < 1, f"sparsity={sparsity}: from 0 to below 1")
        require(0 <= start <= end <= 1, f"start={start}, end={end}: fractions, in this order")
        require(every >= 1, f"every={every}: at least 1")
        self.sparsity, self.start, self.end, self.every = sparsity, start, end, every

        self._gone: dict[str, list[int]] = {}

    def state_dict(self) -> dict[str, Any]:
        """Which filters have gone, by module."""
        return {"gone": self._gone}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what the checkpoint left."""
        self._gone = state["gone"]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Cut, if it is time."""
        total = length_of(trainer).total
        start, end = round(self.start * total), min(total - 1, round(self.end * total))
        step = trainer.global_step
        if step == end or (start < step < end and (step - start) % self.every == 0):
            sparsity = cubic_sparsity(step, start, end, self.sparsity)
            self._gone = choose_filters(network_of(pl_module), sparsity)
            zero_filters(network_of(pl_module), self._gone)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Keep them zero, which momentum would not."""
        zero_filters(network_of(pl_module), self._gone)


def network_of(pl_module: pl.LightningModule) -> nn.Module:
    """The network of a classifier."""
    model = pl_module.model
    assert isinstance(model, nn.Module)
    return model


def choose_filters(model: nn.Module, sparsity: float) -> dict[str, list[int]]:
    """The filters of least norm, by the name of their convolution and of their batch norm.

    Args:
        model: the network.
        sparsity: fraction of the filters of each convolution that can lose some.
    """
    modules = dict(model.named_modules())
    gone = {}
    for chain in chains(model):
        conv = modules[chain.conv]
        assert isinstance(conv, nn.Conv3d)
        gone[chain.conv] = _least(conv, round(sparsity * conv.out_channels)).tolist()
        if chain.norm is not None:
            gone[chain.norm] = gone[chain.conv]
    return gone


@torch.no_grad()
def zero_filters(model: nn.Module, gone: Mapping[str, Sequence[int]]) -> None:
    """Zero outputs of convolutions and batch norms.

    Args:
        model: the network, changed in place.
        gone: outputs by the name of the module.
    """
    modules = dict(model.named_modules())
    for name, filters in gone.items():
        module = modules[name]
        assert isinstance(module, nn.Conv3d | _BatchNorm)
        module.weight[list(filters)] = 0
        if module.bias is not None:
            module.bias[list(filters)] = 0


def _least(conv: nn.Conv3d, count: int) -> Tensor:
    """Indices of the filters that torch's structured pruning chooses."""
    if not count:
        return torch.empty(0, dtype=torch.int64, device=conv.weight.device)
    copied = deepcopy(conv)
    prune.ln_structured(copied, "weight", amount=count, n=2, dim=0)
    mask = copied.weight_mask
    assert isinstance(mask, Tensor)
    return (mask.flatten(1).amax(1) == 0).nonzero().flatten()


@torch.no_grad()
def shrink(model: nn.Module) -> nn.Module:
    """A copy without the filters that are zero and whose batch norms are: it computes the same."""
    model = deepcopy(model)
    modules = dict(model.named_modules())
    for chain in chains(model):
        conv, reader = modules[chain.conv], modules[chain.reader]
        assert isinstance(conv, nn.Conv3d) and isinstance(reader, nn.Conv3d)
        used = conv.weight.flatten(1).abs().amax(1) > 0
        if conv.bias is not None:
            used |= conv.bias != 0
        norm = modules[chain.norm] if chain.norm is not None else None
        if norm is not None:
            assert isinstance(norm, _BatchNorm)
            used = (norm.weight != 0) | (norm.bias != 0)
        kept = used.nonzero().flatten()
        if len(kept) == len(used):
            continue
        _keep_outputs(conv, kept)
        if norm is not None:
            _keep_features(norm, kept)
        reader.weight = nn.Parameter(reader.weight[:, kept].clone())
        reader.in_channels = len(kept)
    return model


def _keep_outputs(conv: nn.Conv3d, kept: Tensor) -> None:
    conv.weight = nn.Parameter(conv.weight[kept].clone())
    if conv.bias is not None:
        conv.bias = nn.Parameter(conv.bias[kept].clone())
    conv.out_channels = len(kept)


def _keep_features(norm: _BatchNorm, kept: Tensor) -> None:
    norm.weight, norm.bias = (nn.Parameter(p[kept].clone()) for p in (norm.weight, norm.bias))
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean, norm.running_var = norm.running_mean[kept], norm.running_var[kept]
    norm.num_features = len(kept)
