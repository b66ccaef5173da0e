"""Accuracy against measured speedup."""

from videowino.compat import torchvision  # before torchmetrics, which imports it
from videowino.evaluation.accuracy import Accuracy, AccuracyMeter, evaluate
from videowino.evaluation.compare import compare
from videowino.evaluation.comparison import Comparison
from videowino.evaluation.latency import Latency, measure
from videowino.evaluation.networks import Network, data_of, gather
from videowino.evaluation.plot import plot_comparison
from videowino.evaluation.tables import comparison_table

__all__ = [
    "Accuracy",
    "AccuracyMeter",
    "Comparison",
    "Latency",
    "Network",
    "compare",
    "comparison_table",
    "data_of",
    "evaluate",
    "gather",
    "measure",
    "plot_comparison",
]
