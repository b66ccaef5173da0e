"""The one place that imports torchvision.

A torchvision wheel built for another build of torch (its CUDA wheel beside a CPU-only torch, say)
cannot load its compiled operators, and `import torchvision` stops at ``operator torchvision::nms
does not exist``. Its models and transforms need none of those operators: it is enough that the
two names which torchvision registers fake kernels for are declared.

Every module that uses torchvision takes it from here::

    from videowino.compat import torchvision

and then uses ``torchvision.models.video`` or ``torchvision.transforms.v2``, which are loaded.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import torchvision as torchvision
    import torchvision.models.video
    import torchvision.transforms.v2  # noqa: F401

_MISSING_OPERATOR = "operator torchvision::nms does not exist"
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_SUBMODULES = ("torchvision.models.video", "torchvision.transforms.v2")

_lock = threading.RLock()
_definitions: list[torch.library.Library] = []  # a Library that is collected takes its names along


def ensure_torchvision() -> ModuleType:
    """Import torchvision, declaring the operators it stops at where they are missing.

    May be called any number of times and from any thread. A torchvision that imports by itself
    is left as it is.

    Returns:
        The torchvision package, with ``models.video`` and ``transforms.v2`` loaded.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: its import fails for any other reason; the error is torchvision's own.
    """
    with _lock:
        try:
            package = importlib.import_module("torchvision")
        except RuntimeError as error:
            if _MISSING_OPERATOR not in str(error):
                raise
            _define_operators()
            _forget_partial_import()
            package = importlib.import_module("torchvision")
        for name in _SUBMODULES:
            importlib.import_module(name)
        return package


def _define_operators() -> None:
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(name + _SIGNATURE)
            _definitions.append(library)


def _forget_partial_import() -> None:
    """Drop the submodules that a failed import leaves behind, so that the next one runs whole."""
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]


def __getattr__(name: str) -> ModuleType:
    if name == "torchvision":
        return ensure_torchvision()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
