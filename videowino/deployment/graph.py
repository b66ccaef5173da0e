"""A network's graph: its operations in order, and which of them nothing else looks at."""

from __future__ import annotations

import operator
import warnings
from collections import Counter
from contextlib import redirect_stderr
from io import StringIO
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata
from torch.testing import assert_close

from videowino.winograd import WinogradConv3d
from videowino.winograd.finish import MaxPool
from videowino.winograd.tile import Triple

_ADDITIONS = {operator.add, torch.add, "add"}
_ADDITIONS_IN_PLACE = {operator.iadd, "add_"}
_MAX_POOLS = {F.max_pool3d, torch.max_pool3d}
_PADS = {F.pad, torch._C._nn.pad}
_POOLING = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_RELUS = {torch.relu, torch.relu_, F.relu, F.relu_, "relu", "relu_"}


_CONVOLUTIONS = (nn.Conv3d, WinogradConv3d)


class _Tracer(fx.Tracer):
    """Looks into modules down to convolutions and those of PyTorch.

    Args:
        whole: Leave modules without a convolution whole where they have no graph.
    """

    def __init__(self, whole: bool = False) -> None:
        super().__init__()
        self._whole = whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, _CONVOLUTIONS):  # also those that torchvision derives
            return True
        if self._whole and not any(isinstance(part, _CONVOLUTIONS) for part in m.modules()):
            return super().is_leaf_module(m, module_qualified_name) or not _has_graph(m)
        return super().is_leaf_module(m, module_qualified_name)


def _has_graph(module: nn.Module) -> bool:
    try:
        fx.Tracer().trace(module)
    except Exception:  # as many ways as there are programs
        return False
    return True


def trace(model: nn.Module, clip: Tensor, name: str) -> fx.GraphModule | None:
    """The model's graph with the shape of everything in it; None, with a warning, without one.

    Python control flow that looks at values has no graph.

    Args:
        model: In evaluation mode.
        clip: What it takes.
        name: What to call it in the warning.
    """
    reason: Exception | None = None
    for whole in (False, True):
        try:
            graph = fx.GraphModule(model, _Tracer(whole).trace(model))
            # ShapeProp prints where it fails, and the warning says it again.
            with torch.no_grad(), redirect_stderr(StringIO()):
                found = ShapeProp(graph).propagate(clip)
                # A branch that tracing took may not be the one that clips take.
                assert_close(found, model(clip), equal_nan=True)
            return graph
        except Exception as error:  # tracing fails in as many ways as there are programs
            reason = error
    warnings.warn(
        f"{name} has no graph ({_first_line(reason)}); its convolutions are deployed one by one, "
        "without what follows them",
        stacklevel=3,
    )
    return None


def _first_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def module_of(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The module that a node calls, if it is the only call of it."""
    if node.op != "call_module":
        return None
    calls = Counter(n.target for n in graph.graph.nodes if n.op == "call_module")
    modules = Counter(id(graph.get_submodule(str(target))) for target in calls.elements())
    module = graph.get_submodule(str(node.target))
    return module if modules[id(module)] == 1 else None


def follower(node: fx.Node) -> fx.Node | None:
    """The node that takes what this one gives, where it is one alone, and no output."""
    if len(node.users) != 1:
        return None
    (user,) = node.users
    return user if user.op in ("call_module", "call_function", "call_method") else None


def is_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether it is a ReLU, as a module, function or method."""
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), nn.ReLU)
    return node.target in _RELUS


class Pooling(NamedTuple):
    """Of a max pooling; see `torch.nn.MaxPool3d`."""

    window: Triple
    stride: Triple
    padding: Triple
    ceil: bool

    def by_two(self) -> MaxPool | None:
        """As windows of 1 or 2 side by side without padding; None where they are others."""
        plain = self.stride == self.window and max(self.padding) == 0
        if not plain or not set(self.window) <= {1, 2} or max(self.window) == 1:
            return None
        return MaxPool(self.window, self.ceil)


def pooling_of(graph: fx.GraphModule, node: fx.Node) -> Pooling | None:
    """The max pooling that a node is; None where it is none, has dilation, or gives places too."""
    if node.op == "call_module":
        module = graph.get_submodule(str(node.target))
        if type(module) is not nn.MaxPool3d or module._forward_hooks or module._forward_pre_hooks:
            return None
        given = {name: getattr(module, name) for name in _POOLING}
    elif node.op == "call_function" and node.target in _MAX_POOLS:
        given = dict(zip(("input", *_POOLING), node.args, strict=False)) | dict(node.kwargs)
    else:
        return None
    window = _three(given["kernel_size"])
    sizes = window, _three(given.get("stride") or window), _three(given.get("padding", 0))
    whole = all(isinstance(n, int) for three in sizes for n in three)
    if not whole or _three(given.get("dilation", 1)) != (1, 1, 1) or given.get("return_indices"):
        return None
    return Pooling(*sizes, bool(given.get("ceil_mode", False)))


def constant_pad(node: fx.Node) -> tuple[Any, ...] | None:
    """What a node pads with a constant along three axes, by how much, and the constant; or None."""
    if node.op != "call_function" or node.target not in _PADS:
        return None
    given: dict[str, Any] = (
        dict(zip(("input", "pad", "mode", "value"), node.args, strict=False)) | node.kwargs
    )
    pad, value = given["pad"], given.get("value") or 0.0
    usual = given.get("mode", "constant") == "constant" and isinstance(value, int | float)
    if not usual or not isinstance(pad, list | tuple) or len(pad) != 6:
        return None
    return given["input"], pad, float(value)


def _three(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) and len(value) == 3 else (value,) * 3


def added_to(node: fx.Node, term: fx.Node) -> fx.Node | None:
    """What `node` adds to `term`, another node of the same shape; None where it does not."""
    if node.op == "call_module" or len(node.args) != 2:
        return None
    # What changes the other term in place may be looked at by somebody else.
    in_place = node.target in _ADDITIONS_IN_PLACE and node.args[0] is term
    if node.target not in _ADDITIONS and not in_place:
        return None
    if node.kwargs:  # alpha=, out=
        return None
    others = [arg for arg in node.args if arg is not term]
    if len(others) != 1 or not isinstance(others[0], fx.Node):
        return None
    return others[0] if shape_of(others[0]) == shape_of(term) is not None else None


def shape_of(node: fx.Node) -> torch.Size | None:
    """Of the tensor that a node gives; None where it gives something else."""
    meta = node.meta.get("tensor_meta")
    return meta.shape if isinstance(meta, TensorMetadata) else None
