"""Callbacks of training, one a file."""

# First, and for its effect: Lightning imports torchmetrics, which imports torchvision.
from videowino.compat import torchvision  # noqa: F401, I001
from videowino.callbacks.epoch_lines import EpochLines
from videowino.callbacks.epoch_seed import EpochSeed

__all__ = ["EpochLines", "EpochSeed"]
