"""A deployed model as one file: safetensors, with its graph as JSON in the header.

There is no code in it and no pickle: nodes name functions of PyTorch that compute (see `values`),
modules are PyTorch's and videowino's own (see `modules`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, fx

from videowino.deployment.modules import Tensors, decode_module, encode_module
from videowino.deployment.tune import Tuner
from videowino.deployment.values import (
    ATTRIBUTES,
    decode,
    encode,
    function_names,
    functions,
    methods,
)
from videowino.files import replacing

#: Of the file. A reader takes files of its own version and of those before.
VERSION = 1
_KEY = "videowino"


def write(path: str | PathLike[str], graph: fx.GraphModule, about: Mapping[str, Any]) -> None:
    """Write a graph and what else there is to know, to the side first and then in place.

    Args:
        path: The file; what is there is replaced.
        graph: Of fused layers.
        about: Plain values to be read again.

    Raises:
        ValueError: Something in the graph has no place in a file without code.
        OSError: The file cannot be written.
    """
    tensors = Tensors()
    content = {"version": VERSION, "graph": _encode(graph, tensors), **about}
    text = json.dumps(content, sort_keys=True)
    metadata = {_KEY: text, "digest": _digest(text, tensors.by_name)}
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # which would be replaced by a file
        raise ValueError(f"{path}: is a folder or a device; give the name of a file")
    with replacing(target) as new:
        try:
            save_file(tensors.by_name, new, metadata)
        except SafetensorError as error:
            number = re.search(r"\(os error (\d+)\)", str(error))
            raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error
        os.chmod(new, 0o666 & ~_umask())


def read(path: str | PathLike[str], tuner: Tuner) -> tuple[fx.GraphModule, dict[str, Any]]:
    """What `write` wrote.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is none of ours, cut short, changed since, or of a newer videowino.
    """
    file = Path(path)
    if not file.is_file():
        hint = " (it is a folder)" if file.is_dir() else ""
        raise FileNotFoundError(f"{path}: no such deployed model{hint}")
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path}: is no deployed model, or only a part of one ({error}); save or copy it again"
        ) from error
    try:
        content = json.loads(metadata[_KEY])
        version = int(content["version"])
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{path}: holds tensors but no deployed model; DeployedModel.save writes one"
        ) from error
    if version > VERSION:
        raise ValueError(
            f"{path}: is of format {version}, this videowino reads up to {VERSION}; install a "
            "newer videowino"
        )
    if metadata.get("digest") != _digest(metadata[_KEY], tensors):
        raise ValueError(f"{path}: was changed after it was saved; save or copy it again")
    try:
        return _decode(content["graph"], tensors, tuner), content
    except Exception as error:  # as many as there are networks that never were
        raise ValueError(f"{path}: holds a network that cannot be read: {error!r}") from error


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Of everything in the file: against damage, not against intent."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _encode(graph: fx.GraphModule, tensors: Tensors) -> dict[str, Any]:
    nodes, modules, constants = [], {}, {}
    for node in graph.graph.nodes:
        target = node.target
        try:
            if node.op == "call_module":
                modules[str(target)] = encode_module(graph.get_submodule(str(target)), tensors)
            elif node.op == "get_attr":
                constants[str(target)] = tensors.add(_constant(graph, str(target)))
            elif node.op == "call_function":
                target = _function_name(node)
            elif node.op == "call_method" and target not in methods():
                raise ValueError(f"the method {target}")
            arguments = {"args": encode(tuple(node.args)), "kwargs": encode(dict(node.kwargs))}
        except ValueError as error:
            raise ValueError(
                f"{node.name} is {error}, which a file without code cannot hold: keep the "
                "checkpoint, and deploy it where it is to run"
            ) from None
        nodes.append({"name": node.name, "op": node.op, "target": target, **arguments})
    return {"nodes": nodes, "modules": modules, "constants": constants}


def _decode(
    given: Mapping[str, Any], tensors: Mapping[str, Tensor], tuner: Tuner
) -> fx.GraphModule:
    root: dict[str, Any] = {
        name: decode_module(module, tensors, tuner) for name, module in given["modules"].items()
    }
    root |= {name: tensors[place] for name, place in given["constants"].items()}
    graph, nodes = fx.Graph(), dict[str, fx.Node]()
    for entry in given["nodes"]:
        op, target = entry["op"], entry["target"]
        args, kwargs = decode(entry["args"], nodes), decode(entry["kwargs"], nodes)
        if op == "call_function":
            name, target = target, functions()[target]
            if name == "getattr" and args[1] not in ATTRIBUTES:
                raise ValueError(f"no attribute for a graph: {args[1]}")
        elif op == "call_method" and target not in methods():
            raise ValueError(f"no method for a graph: {target}")
        elif op in ("call_module", "get_attr") and target not in root:
            raise ValueError(f"no module or tensor: {target}")
        node = graph.create_node(op, target, args, kwargs, name=entry["name"])
        nodes[entry["name"]] = node
    graph.lint()
    return fx.GraphModule(root, graph)


def _function_name(node: fx.Node) -> str:
    name = function_names().get(id(node.target))
    if name is None:
        raise ValueError(f"the function {getattr(node.target, '__name__', node.target)}")
    if name == "getattr" and node.args[1] not in ATTRIBUTES:
        raise ValueError(f"the attribute {node.args[1]}")
    return name


def _constant(graph: fx.GraphModule, name: str) -> Tensor:
    *path, last = name.split(".")
    return getattr(graph.get_submodule(".".join(path)), last)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
