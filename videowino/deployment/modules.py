"""Modules of a deployed network as JSON and tensors, and back: no code of anyone's."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from videowino.deployment.convolution import FusedConv3d
from videowino.deployment.linear import FusedLinear
from videowino.deployment.pooling import FusedMaxPool3d
from videowino.deployment.tune import Tuner
from videowino.deployment.values import decode, encode
from videowino.winograd import WinogradConv3d
from videowino.winograd.finish import MaxPool

#: Where classes of modules may come from: a file must not choose what other code is imported.
_HOMES = (
    *("torch.nn.modules.", "torchvision.models.", "torchvision.ops."),
    *("videowino.models.", "pytorchvideo.layers.", "pytorchvideo.models."),
)
_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
_WINOGRAD = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "padding_mode")
_POOLING = ("window", "stride", "padding", "ceil")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


class Tensors:
    """Tensors by name, each stored once however many use it."""

    def __init__(self) -> None:
        self.by_name: dict[str, Tensor] = {}
        self._names: dict[tuple[object, ...], str] = {}
        self._held: list[Tensor] = []  # or another could come to lie in its place

    def add(self, tensor: Tensor) -> str:
        """The name that it is stored under."""
        tensor = tensor.detach()
        identity = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if identity not in self._names or not tensor.numel():
            name = str(len(self.by_name))
            self.by_name[name] = tensor.cpu().contiguous().clone()
            self._names[identity] = name
            self._held.append(tensor)
        return self._names[identity]


def encode_module(module: nn.Module, tensors: Tensors) -> dict[str, Any]:
    """A module as JSON.

    Raises:
        ValueError: It is of a class that a file cannot name, or has hooks.
    """
    kind = type(module)
    if any(getattr(module, hooks) for hooks in _HOOKS):
        raise ValueError(f"a {kind.__name__} with hooks")
    if isinstance(module, FusedConv3d):
        inner = module.conv
        own = _winograd(inner, tensors) if isinstance(inner, WinogradConv3d) else None
        conv = own or _convolution(inner, tensors)
        pool = module.pool
        return {
            "kind": "convolution",
            "relu": module.relu,
            "pool": None if pool is None else {"window": list(pool.window), "ceil": pool.ceil},
            "conv": conv,
        }
    if isinstance(module, FusedLinear):
        return {
            "kind": "linear",
            "relu": module.relu,
            "weight": tensors.add(module.linear.weight),
            "bias": _optional(module.linear.bias, tensors),
        }
    if isinstance(module, FusedMaxPool3d):
        how = {name: encode(getattr(module, name)) for name in _POOLING}
        return {"kind": "max pool", "settings": how}
    if not kind.__module__.startswith(_HOMES):
        raise ValueError(f"a {kind.__module__}.{kind.__qualname__}")
    attributes = {n: v for n, v in vars(module).items() if n not in _OF_EVERY_MODULE}
    return {
        "kind": "module",
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "attributes": {name: encode(value) for name, value in attributes.items()},
        "parameters": {n: _optional(p, tensors) for n, p in module._parameters.items()},
        "buffers": {n: _optional(b, tensors) for n, b in module._buffers.items()},
        "modules": {
            name: None if child is None else encode_module(child, tensors)
            for name, child in module._modules.items()
        },
    }


def decode_module(
    given: Mapping[str, Any], tensors: Mapping[str, Tensor], tuner: Tuner
) -> nn.Module:
    """The way back.

    Raises:
        ValueError, KeyError, TypeError: `encode_module` cannot have given this.
    """
    kind = given["kind"]
    if kind == "convolution":
        conv = given["conv"]
        made = _from_winograd(conv, tensors) if "tile" in conv else _from_conv(conv, tensors)
        return FusedConv3d(made, bool(given["relu"]), tuner, pool=_pool(given["pool"]))
    if kind == "linear":
        return FusedLinear(_from_linear(given, tensors), bool(given["relu"]), tuner)
    if kind == "max pool":
        return FusedMaxPool3d(**{name: decode(given["settings"][name], {}) for name in _POOLING})
    home, _, name = given["class"].rpartition(".")
    if not f"{home}.".startswith(_HOMES):
        raise ValueError(f"no class for a deployed model: {given['class']}")
    cls = getattr(importlib.import_module(home), name, None)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise ValueError(f"no module: {given['class']}")
    module = cls.__new__(cls)
    nn.Module.__init__(module)
    for name, value in given["attributes"].items():
        if hasattr(nn.Module, name) or name in _OF_EVERY_MODULE:
            raise ValueError(f"no attribute for a module: {name}")
        vars(module)[name] = decode(value, {})
    for name, place in given["parameters"].items():
        module.register_parameter(name, _parameter(place, tensors))
    for name, place in given["buffers"].items():
        module.register_buffer(name, None if place is None else tensors[place])
    for name, child in given["modules"].items():
        made_child = None if child is None else decode_module(child, tensors, tuner)
        module.add_module(name, made_child)
    return module.eval()


def _convolution(conv: nn.Module, tensors: Tensors) -> dict[str, Any]:
    settings = {name: encode(getattr(conv, name)) for name in (*_CONV, "padding_mode")}
    assert isinstance(conv, nn.Conv3d)
    weight, bias = tensors.add(conv.weight), _optional(conv.bias, tensors)
    return {"settings": settings, "weight": weight, "bias": bias}


def _from_conv(given: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Conv3d:
    settings = {name: decode(value, {}) for name, value in given["settings"].items()}
    conv = nn.Conv3d(**settings, bias=False, device="meta")
    weight, bias = _parameter(given["weight"], tensors), _parameter(given["bias"], tensors)
    assert weight is not None
    if weight.shape != conv.weight.shape:
        raise ValueError(f"a weight of shape {tuple(weight.shape)} for {conv}")
    conv.weight, conv.bias = weight, bias
    return conv.eval()


def _from_linear(given: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> nn.Linear:
    weight, bias = _parameter(given["weight"], tensors), _parameter(given["bias"], tensors)
    assert weight is not None
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight, linear.bias = weight, bias  # type: ignore[assignment]
    return linear.eval()


def _winograd(layer: WinogradConv3d, tensors: Tensors) -> dict[str, Any]:
    """What the layer was made with, and its state; of `vanilla` weights the kept columns."""
    state = layer.state_dict()
    if layer.parameterization == "vanilla":
        state["weight"] = state["weight"][..., layer.column_mask]
    return {
        "settings": {name: encode(getattr(layer, name)) for name in _WINOGRAD},
        "tile": list(layer.tile.m),
        "points": layer.tile.points or None,
        "parameterization": layer.parameterization,
        "rank": layer.rank,
        "bits": layer.weight_bits,
        "state": {name: tensors.add(value) for name, value in state.items()},
    }


def _from_winograd(given: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> WinogradConv3d:
    state = {name: tensors[place] for name, place in given["state"].items()}
    layer = WinogradConv3d(
        **{name: decode(value, {}) for name, value in given["settings"].items()},
        bias="bias" in state,
        tile=given["tile"],
        points=given["points"],
        parameterization=given["parameterization"],
        rank=given["rank"],
        device="meta",
        dtype=state["gate"].dtype,
    ).to_empty(device="cpu")
    if given["parameterization"] == "vanilla":
        kept = state["weight"]
        whole = kept.new_zeros(*kept.shape[:2], layer.columns)
        whole[..., state["column_mask"]] = kept
        state["weight"] = whole
    layer.load_state_dict(state)
    layer.weight_bits = int(given["bits"])
    return layer.eval().requires_grad_(False)


def _pool(given: Mapping[str, Any] | None) -> MaxPool | None:
    if given is None:
        return None
    d, h, w = given["window"]
    return MaxPool((d, h, w), bool(given["ceil"]))


def _optional(tensor: Tensor | None, tensors: Tensors) -> str | None:
    return None if tensor is None else tensors.add(tensor)


def _parameter(place: str | None, tensors: Mapping[str, Tensor]) -> nn.Parameter | None:
    return None if place is None else nn.Parameter(tensors[place], requires_grad=False)
