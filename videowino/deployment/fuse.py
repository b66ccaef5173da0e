"""What follows a layer drawn into it: batch norm, addition, ReLU, max pooling."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from videowino.deployment.concatenation import concatenate
from videowino.deployment.convolution import FusedConv3d, is_plain
from videowino.deployment.fold import fold_batch_norm
from videowino.deployment.graph import (
    added_to,
    constant_pad,
    follower,
    is_relu,
    module_of,
    pooling_of,
)
from videowino.deployment.linear import FusedLinear, is_plain_linear
from videowino.deployment.pooling import FusedMaxPool3d
from videowino.deployment.tune import Tuned, Tuner
from videowino.winograd import WinogradConv3d
from videowino.winograd.finish import MaxPool

# What does nothing in evaluation.
_IDLE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_CONCATENATIONS = {torch.cat, torch.concat, torch.concatenate}


def fuse(graph: fx.GraphModule, tuner: Tuner) -> None:
    """Put a tuned layer in the place of each convolution and fully connected layer, in place.

    Args:
        graph: With the shape of everything in it, as `trace` gives it.
        tuner: Of all of them.
    """
    for node in list(graph.graph.nodes):
        if isinstance(module_of(graph, node), _IDLE):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
        elif node.op == "call_method" and node.target == "view":
            if not any(isinstance(arg, torch.dtype) for arg in node.args):
                node.target = "reshape"  # channels may be last in memory now
    for node in list(graph.graph.nodes):
        module = module_of(graph, node)
        if is_plain(module):
            _fuse_convolution(graph, node, tuner)
        elif is_plain_linear(module):
            _fuse_linear(graph, node, tuner)
    for node in list(graph.graph.nodes):
        _replace_pooling(graph, node)
        if node.target in _CONCATENATIONS and node.kwargs.keys() <= {"tensors", "dim"}:
            node.target = concatenate
    graph.graph.lint()
    graph.delete_all_unused_submodules()
    graph.recompile()


def _fuse_convolution(graph: fx.GraphModule, node: fx.Node, tuner: Tuner) -> None:
    conv = module_of(graph, node)
    assert isinstance(conv, nn.Conv3d | WinogradConv3d)
    residual, taken = None, [node]
    norm = follower(node)
    batch_norm = None if norm is None else module_of(graph, norm)
    if (
        norm is not None
        and isinstance(batch_norm, nn.BatchNorm3d)
        and batch_norm.running_mean is not None
    ):
        fold_batch_norm(conv, batch_norm)
        taken.append(norm)
    addition = follower(taken[-1])
    if addition is not None and (residual := added_to(addition, taken[-1])) is not None:
        taken.append(addition)
    relu = _take_relu(graph, taken)
    pool = _take_pool(graph, taken) if residual is None else None
    if pool is not None and not relu:  # the other way round it is the same
        relu = _take_relu(graph, taken)
    x = node.args[0]
    pad = constant_pad(x) if isinstance(x, fx.Node) and len(x.users) == 1 else None
    pad = pad if pad is not None and pad[2] == 0 else None
    _replace(graph, taken, residual, FusedConv3d(conv, relu, tuner, pool=pool), pad)


def _fuse_linear(graph: fx.GraphModule, node: fx.Node, tuner: Tuner) -> None:
    linear = module_of(graph, node)
    assert isinstance(linear, nn.Linear)
    taken = [node]
    relu = _take_relu(graph, taken)
    _replace(graph, taken, None, FusedLinear(linear, relu, tuner))


def _take_relu(graph: fx.GraphModule, taken: list[fx.Node]) -> bool:
    activation = follower(taken[-1])
    if activation is None or not is_relu(graph, activation):
        return False
    taken.append(activation)
    return True


def _take_pool(graph: fx.GraphModule, taken: list[fx.Node]) -> MaxPool | None:
    after = follower(taken[-1])
    pooling = None if after is None else pooling_of(graph, after)
    pool = None if pooling is None else pooling.by_two()
    if after is not None and pool is not None:
        taken.append(after)
    return pool


def _replace_pooling(graph: fx.GraphModule, node: fx.Node) -> None:
    """A max pooling by the kernel, which also pads."""
    pooling = pooling_of(graph, node)
    x = node.args[0] if node.args else node.kwargs.get("input")
    if pooling is None or not isinstance(x, fx.Node):
        return
    pad = constant_pad(x) if len(x.users) == 1 else None
    alone = node.op == "call_module" and module_of(graph, node) is not None
    name = str(node.target) if alone else f"pooling_{node.name}"
    graph.add_submodule(name, FusedMaxPool3d(*pooling))
    with graph.graph.inserting_after(node):
        fused = graph.graph.call_module(name, pad or (x,))
    fused.meta = node.meta
    node.replace_all_uses_with(fused)
    graph.graph.erase_node(node)
    if pad is not None:
        graph.graph.erase_node(x)


def _replace(
    graph: fx.GraphModule,
    taken: list[fx.Node],
    residual: fx.Node | None,
    layer: Tuned,
    pad: tuple[Any, ...] | None = None,
) -> None:
    """Put a layer in the place of the last of the nodes that it computes.

    Args:
        graph: Of all of them.
        taken: The nodes, in order.
        residual: What is added, or None.
        layer: That computes them.
        pad: What `constant_pad` says of a node before them that the layer takes as well, or None.
    """
    first, last = taken[0], taken[-1]
    name = str(first.target)
    graph.set_submodule(name, layer)
    with graph.graph.inserting_after(last):
        x = first.args[0] if pad is None else pad[0]
        pads = {} if pad is None else {"pads": pad[1]}
        fused = graph.graph.call_module(name, (x,) if residual is None else (x, residual), pads)
    fused.meta = last.meta
    last.replace_all_uses_with(fused)
    before = first.args[0]
    for gone in reversed(taken):
        graph.graph.erase_node(gone)
    if pad is not None and isinstance(before, fx.Node):
        graph.graph.erase_node(before)
