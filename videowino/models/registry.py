"""The backbones by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Literal

from torch import Tensor, nn

from videowino.cli import suggestion
from videowino.models.weights import load_weights

Builder = Callable[..., nn.Module]
Renaming = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Backbone:
    """A registered network.

    Attributes:
        name: what `create_model` knows it by.
        build: `build(num_classes, **options)`; the options that it takes (of width, in_channels,
            dropout and stem) are its keyword parameters.
        head: name of its classifier module, which a weights file of other classes may lack.
        torchvision_weights: whether torchvision has a weights enum under the same name.
        rename: brings the public state dicts of this network to its own key names.
    """

    name: str
    build: Builder
    head: str
    torchvision_weights: bool = False
    rename: Renaming | None = None

    @property
    def options(self) -> set[str]:
        """Options of `create_model` that the builder takes."""
        return set(inspect.signature(self.build).parameters) - {"num_classes"}


_WIDEST = 16.0  # of the published networks' width: what a slip of the pen is beyond
_BACKBONES: dict[str, Backbone] = {}


def register_model(
    name: str, *, head: str, torchvision_weights: bool = False, rename: Renaming | None = None
) -> Callable[[Builder], Builder]:
    """Register a builder under `name`, as a decorator; the fields are those of `Backbone`.

    Raises:
        ValueError: the name is taken.
    """

    def register(build: Builder) -> Builder:
        if name in _BACKBONES:
            raise ValueError(f"register_model: the name {name!r} is taken; choose another")
        _BACKBONES[name] = Backbone(name, build, head, torchvision_weights, rename)
        return build

    return register


def list_models() -> list[str]:
    """Names that `create_model` takes, sorted."""
    return sorted(_BACKBONES)


def get_backbone(name: str) -> Backbone:
    """The registered backbone of that name.

    Raises:
        ValueError: there is none; the message suggests the nearest name.
    """
    if name not in _BACKBONES:
        hint = suggestion(str(name).lower().replace("-", "_"), _BACKBONES)
        raise ValueError(
            f"backbone={name!r} is unknown{hint or ';'} known: {', '.join(list_models())}"
        )
    return _BACKBONES[name]


def create_model(
    name: str,
    num_classes: int,
    *,
    width: float = 1.0,
    weights: str | PathLike[str] | None = None,
    in_channels: int = 3,
    dropout: float | None = None,
    stem: Literal["default", "small"] = "default",
) -> nn.Module:
    """Build a backbone that takes clips x: N C D H W and returns logits (N, num_classes).

    Args:
        name: one of `list_models()`.
        num_classes: size of the classifier.
        width: scales the channels of every layer (multiples of 8), at most 16 times; 1 is the
            published network.
        weights: a name of torchvision's weights enum ("DEFAULT", "KINETICS400_V1"), or a local
            file, see `videowino.models.weights.load_weights`. A classifier of another class count
            is skipped with a warning.
        in_channels: channels of a frame.
        dropout: probability before the classifier; None keeps the backbone's own.
        stem: "small" begins with 3x3x3 taps in place of 3x7x7, for frames below about 80 pixels
            (R3D, MC3 and R(2+1)D only).

    Raises:
        ValueError: an argument is out of range, the backbone does not take it, or the weights do
            not fit.
        FileNotFoundError: no such weights file.
        ImportError: the backbone needs a package that is not installed.
    """
    backbone = get_backbone(name)
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes} must be at least 1")
    if in_channels < 1:
        raise ValueError(f"in_channels={in_channels} must be at least 1")
    if not 0 < width <= _WIDEST:
        raise ValueError(f"width={width} must be above 0 and at most {_WIDEST:g}")
    if dropout is not None and not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout} must be at least 0 and below 1")
    if stem not in ("default", "small"):
        raise ValueError(f"stem={stem!r} must be 'default' or 'small'")

    asked = {"width": width, "in_channels": in_channels, "dropout": dropout, "stem": stem}
    defaults = {"width": 1.0, "in_channels": 3, "dropout": None, "stem": "default"}
    for option, value in asked.items():
        if option not in backbone.options and value != defaults[option]:
            able = [n for n in list_models() if option in _BACKBONES[n].options]
            raise ValueError(
                f"{option}={value!r}: {name} does not take it; these do: {', '.join(able)}"
            )
    options = {option: value for option, value in asked.items() if option in backbone.options}
    model = backbone.build(num_classes, **options)
    if weights is not None:
        load_weights(
            model,
            weights,
            name=name,
            head=backbone.head,
            torchvision_weights=backbone.torchvision_weights,
            rename=backbone.rename,
        )
    return model
