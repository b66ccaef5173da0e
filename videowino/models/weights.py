"""Weights: torchvision's enums by name, and local files in the formats people have."""

from __future__ import annotations

import pickle
import re
import urllib.error
import warnings
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from videowino.compat import ensure_torchvision

_NESTED_IN = ("state_dict", "model_state_dict", "model_state", "model")
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.")
_UNSAVED = ".num_batches_tracked"
_LISTED = 8


def load_weights(
    model: nn.Module,
    weights: str | PathLike[str],
    *,
    name: str,
    head: str,
    torchvision_weights: bool = False,
    rename: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None,
) -> None:
    """Load weights into `model`, all of them or none.

    Args:
        model: the network.
        weights: a member of torchvision's enum, or a file: a Lightning checkpoint of this project,
            a .pt or .pth state dict (bare, or under "state_dict", "model" or "model_state"; the
            prefixes that wrappers add are stripped), a .safetensors file, or a public state dict
            that `rename` knows. Files are read without running any code in them.
        name: the backbone's name, for messages.
        head: name of the classifier module. If the file has none, or one of another class count,
            the model's own is kept and one warning says so.
        torchvision_weights: torchvision has an enum of weights under `name`.
        rename: brings public key names to the model's.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no checkpoint, or a checkpoint of something else: missing,
            unexpected and mis-shaped keys are listed by name.
    """
    label = f"weights={str(weights)!r}"
    enum = _torchvision_enum(name) if torchvision_weights else {}
    saved: dict[str, Any] = {}
    if str(weights) in enum:
        state = _download(enum[str(weights)], label)
    else:
        path = Path(weights).expanduser()
        if not path.is_file():
            names = f", nor a weights name of torchvision's {name}: {', '.join(enum)}"
            raise FileNotFoundError(f"{label} is no file{names if enum else ''}")
        state, saved = read_state_dict(path, label)

    wanted = model.state_dict()
    state = _unwrap(state, wanted, lightning="pytorch-lightning_version" in saved)
    if rename is not None:
        state = dict(rename(state))
    _refuse_converted(state, wanted, label)
    skipped = _skip_head(state, wanted, head)
    _check_keys(state, wanted, label, name, saved.get("hyper_parameters"))
    model.load_state_dict(state, strict=False)
    if skipped:
        warnings.warn(
            f"{label}: {skipped}; the model keeps its newly initialised {head}", stacklevel=3
        )


def read_state_dict(path: Path, label: str = "weights") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a checkpoint file by key, and whatever else was saved beside them.

    Raises:
        ValueError: the file is no checkpoint, is cut short, or holds no tensors.
    """
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path), {}
        except (safetensors.SafetensorError, OSError) as error:
            raise ValueError(f"{label} is no readable .safetensors file: {error}") from error
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if first := _foreign(str(error)):
            raise ValueError(
                f"{label} holds Python objects besides tensors (the first: {first}), and reading "
                "them could run code; save its state dict alone and give that file"
            ) from error
        raise ValueError(f"{label} is no PyTorch checkpoint") from error
    except Exception as error:  # unpickling arbitrary bytes can end in any of them
        raise ValueError(f"{label} is no PyTorch checkpoint, or is cut short") from error

    state = loaded
    for key in _NESTED_IN:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
            break
    if isinstance(state, Mapping):
        tensors = {k: v for k, v in state.items() if isinstance(v, Tensor) and isinstance(k, str)}
        if tensors:
            return tensors, loaded if state is not loaded else {}
    raise ValueError(f"{label} holds no state dict (a mapping of names to tensors)")


def _foreign(refusal: str) -> str | None:
    """What torch's refusal says that a file holds beside tensors, code that it blocks included."""
    named = re.search(r"unsupported (?:global: )?(?:GLOBAL|class) (\S+)", refusal, re.IGNORECASE)
    return named[1] if named else None


def misfits(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """What keeps a state dict from a network, the first keys by name; empty if it fits.

    Args:
        wanted: the network's own state dict.
        state: the one to load.
    """
    problems = {
        "missing": [k for k in wanted if k not in state],
        "unexpected": [k for k in state if k not in wanted],
        "mis-shaped": [
            f"{k} {tuple(state[k].shape)}, not {tuple(wanted[k].shape)}"
            for k in wanted
            if k in state and state[k].shape != wanted[k].shape
        ],
    }
    return "; ".join(
        f"{kind} ({len(keys)}): {_listed(keys)}" for kind, keys in problems.items() if keys
    )


def _torchvision_enum(name: str) -> Mapping[str, Any]:
    return ensure_torchvision().models.get_model_weights(name).__members__


def _download(member: Any, label: str) -> dict[str, Tensor]:
    try:
        return dict(member.get_state_dict(progress=True, check_hash=True))
    except urllib.error.URLError as error:
        raise ValueError(
            f"{label} could not be downloaded ({error.reason}); fetch {member.url} yourself and "
            "give the file's path"
        ) from error


def _unwrap(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], lightning: bool
) -> dict[str, Tensor]:
    """Strip the prefixes of DistributedDataParallel, torch.compile and LightningModules."""
    if lightning:  # metrics and averaged copies stand beside the model there
        own = {k: v for k, v in state.items() if k.startswith("model.")}
        state = own or state
    stripped = True
    while stripped:
        stripped = False
        for prefix in _WRAPPERS:
            if all(k.startswith(prefix) for k in state) and not any(
                k.startswith(prefix) for k in wanted
            ):
                state = {k.removeprefix(prefix): v for k, v in state.items()}
                stripped = True
    return dict(state)


def _refuse_converted(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], label: str
) -> None:
    mark = ".column_mask"
    layers = [k.removesuffix(mark) for k in state if k.endswith(mark) and k not in wanted]
    if layers:
        raise ValueError(
            f"{label} was saved from a converted network ({len(layers)} Winograd layers, the "
            f"first: {layers[0]}) and does not hold their dense weights; give the dense checkpoint "
            "it came from, or load it whole with videowino.training.checkpoint.load_classifier"
        )


def _skip_head(state: dict[str, Tensor], wanted: Mapping[str, Tensor], head: str) -> str:
    """Drop a classifier of another class count from `state`; says what was dropped, or ""."""
    keys = [k for k in wanted if k.startswith(f"{head}.")]
    found = [k for k in keys if k in state]
    if not found:
        for key in keys:
            state[key] = wanted[key]
        return f"no classifier {head} in the file"
    classes = state[found[0]].shape[:1]
    same_features = all(state[k].shape[1:] == wanted[k].shape[1:] for k in found)
    if found == keys and same_features and classes != wanted[keys[0]].shape[:1]:
        for key in keys:
            state[key] = wanted[key]
        return f"classifier {head} is for {classes[0]} classes, not {wanted[keys[0]].shape[0]}"
    return ""


def _check_keys(
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    label: str,
    name: str,
    hyper_parameters: Mapping[str, Any] | None,
) -> None:
    # PyTorch before 0.4.1 saved BatchNorm without num_batches_tracked.
    needed = {k: v for k, v in wanted.items() if k in state or not k.endswith(_UNSAVED)}
    problems = misfits(needed, state)
    if not problems:
        return
    origin = ", ".join(
        f"{key}={hyper_parameters[key]!r}"
        for key in ("backbone", "width", "stem")
        if hyper_parameters and key in hyper_parameters
    )
    saved_from = f" (it was saved with {origin})" if origin else ""
    raise ValueError(f"{label} does not fit {name}{saved_from}: {problems}")


def _listed(keys: Iterable[str]) -> str:
    names = list(keys)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
