"""Callbacks of training, one a file."""

# First, and for its effect: Lightning imports torchmetrics, which imports torchvision.
from videowino.compat import torchvision  # noqa: F401, I001
from videowino.callbacks.clean_stop import CleanStop
from videowino.callbacks.column_sparsity import ColumnSparsity
from videowino.callbacks.distillation import Distillation
from videowino.callbacks.ema import EMA
from videowino.callbacks.epoch_lines import EpochLines
from videowino.callbacks.epoch_seed import EpochSeed
from videowino.callbacks.finite_steps import FiniteSteps
from videowino.callbacks.resume_point import ResumePoint
from videowino.callbacks.speedup_logger import SpeedupLogger
from videowino.callbacks.wandb_columns import WandbColumns
from videowino.callbacks.wandb_metrics import WandbMetrics
from videowino.callbacks.wandb_model import WandbModel
from videowino.callbacks.wandb_predictions import WandbPredictions

__all__ = [
    "EMA",
    "CleanStop",
    "ColumnSparsity",
    "Distillation",
    "EpochLines",
    "EpochSeed",
    "FiniteSteps",
    "ResumePoint",
    "SpeedupLogger",
    "WandbColumns",
    "WandbMetrics",
    "WandbModel",
    "WandbPredictions",
]
