"""Training: one LightningModule for every backbone, its schedules, optimizers and checkpoints."""

# First, and for its effect: Lightning imports torchmetrics, which imports torchvision.
from videowino.compat import torchvision  # noqa: F401, I001
from videowino.training.classifier import VideoClassifier
from videowino.training.checkpoint import load_classifier, load_datamodule
from videowino.training.hyperparameters import WinogradConfig

__all__ = ["VideoClassifier", "WinogradConfig", "load_classifier", "load_datamodule"]
