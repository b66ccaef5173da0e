"""Values of a graph's nodes as JSON, and back: numbers, names and their collections, no code."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import cache
from numbers import Integral, Real
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from videowino.deployment.concatenation import concatenate

_KINDS: dict[str, type] = {
    "dtype": torch.dtype,
    "memory_format": torch.memory_format,
    "layout": torch.layout,
}
_OPERATORS = (
    "add sub mul truediv floordiv mod pow neg pos abs matmul getitem eq ne lt le gt ge and_ or_ "
    "xor iadd isub imul itruediv"
).split()
_MATH = "ceil floor sqrt prod gcd log exp".split()
#: What `getattr` in a graph may ask for.
ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "device", "T", "mT"})


def encode(value: Any) -> Any:
    """A node's argument, or a module's attribute, as JSON.

    Raises:
        ValueError: It is of a type that has no JSON here.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Real):  # NumPy's
        return int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, slice):
        return {"slice": [encode(part) for part in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    for kind, cls in _KINDS.items():
        if isinstance(value, cls):
            return {kind: str(value).removeprefix("torch.")}
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {"dict": {name: encode(item) for name, item in value.items()}}
    raise ValueError(f"a {type(value).__name__}")


def decode(value: Any, nodes: Mapping[str, fx.Node]) -> Any:
    """The way back.

    Args:
        value: What `encode` gave.
        nodes: By name, as far as there are.

    Raises:
        ValueError: `encode` cannot have given this.
    """
    if isinstance(value, list):
        return [decode(item, nodes) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError(f"no value: {value}")
    ((kind, content),) = value.items()
    if kind == "node" and content in nodes:
        return nodes[content]
    if kind == "tuple":
        return tuple(decode(item, nodes) for item in content)
    if kind == "slice":
        return slice(*(decode(part, nodes) for part in content))
    if kind == "ellipsis":
        return Ellipsis
    if kind == "device":
        return torch.device(content)
    if kind == "dict":
        return {name: decode(item, nodes) for name, item in content.items()}
    found = getattr(torch, content, None) if kind in _KINDS and isinstance(content, str) else None
    if found is None or not isinstance(found, _KINDS[kind]):
        raise ValueError(f"no value: {value}")
    return found


@cache
def functions() -> dict[str, Callable[..., Any]]:
    """The functions that a graph may call, by name: those that compute, none that reach outside.

    PyTorch's are the ones that tensor-like classes may override: they take tensors, not files.
    """
    overridable = torch.overrides.get_overridable_functions()
    tensor_functions = {id(function) for group in overridable.values() for function in group}
    found: dict[str, Callable[..., Any]] = {"getattr": getattr, "concatenate": concatenate}
    found |= {f"operator.{name}": getattr(operator, name) for name in _OPERATORS}
    found |= {f"math.{name}": getattr(math, name) for name in _MATH}
    for home, module in (("torch", torch), ("functional", F)):
        for name, function in vars(module).items():
            # Functions of functional.py that choose by an argument are not listed themselves.
            own = module is F and getattr(function, "__name__", "") == "fn"
            if not name.startswith("_") and (id(function) in tensor_functions or own):
                found[f"{home}.{name}"] = function
    return found


@cache
def function_names() -> dict[int, str]:
    """The way back, by identity."""
    return {id(function): name for name, function in reversed(functions().items())}


@cache
def methods() -> frozenset[str]:
    """The methods of tensors that a graph may call."""
    found = torch.overrides.get_overridable_functions()[torch.Tensor]
    names = {getattr(function, "__name__", "_") for function in found}
    return frozenset(name for name in names if not name.startswith("_"))
