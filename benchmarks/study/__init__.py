"""What columns, ranks and tiles cost in accuracy and bring in time, against rivals."""

# First, and for its effect: Lightning imports torchmetrics, which imports torchvision.
from videowino.compat import torchvision  # noqa: F401
