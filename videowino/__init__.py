"""videowino: video action recognition with pruned, low-rank Winograd convolutions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import videowino.kernels  # noqa: F401  -- registers the fast paths with the operator

__version__ = "0.1.0"

if TYPE_CHECKING:
    from videowino.deployment import DeployedModel, Preprocessing, deploy, load
    from videowino.latency import prune_to_speedup
    from videowino.models import create_model, list_models
    from videowino.report import count
    from videowino.surgery import convert, prune, restore
    from videowino.tiles import fastest_tiles
    from videowino.winograd import WinogradConv3d

# Loaded on first use: the mathematics must not pull in torchvision, nor the models a trainer.
_HOMES = {
    "DeployedModel": "videowino.deployment",
    "WinogradConv3d": "videowino.winograd",
    "convert": "videowino.surgery",
    "count": "videowino.report",
    "Preprocessing": "videowino.deployment",
    "deploy": "videowino.deployment",
    "load": "videowino.deployment",
    "create_model": "videowino.models",
    "list_models": "videowino.models",
    "fastest_tiles": "videowino.tiles",
    "prune": "videowino.surgery",
    "prune_to_speedup": "videowino.latency",
    "restore": "videowino.surgery",
}

__all__ = [
    "DeployedModel",
    "Preprocessing",
    "WinogradConv3d",
    "convert",
    "count",
    "create_model",
    "deploy",
    "fastest_tiles",
    "list_models",
    "load",
    "prune",
    "prune_to_speedup",
    "restore",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'videowino' has no attribute {name!r}")
