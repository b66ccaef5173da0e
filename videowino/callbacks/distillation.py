"""`Distillation`: the dense network teaches the one that is pruned."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videowino.cli import require
from videowino.training.checkpoint import load_classifier, read_checkpoint


class Distillation(pl.Callback):
    """Adds to the loss how far the network's outputs are from a teacher's, on the same clips.

    loss = (1 - weight) loss + weight temperature² KL(teacher || network), both outputs divided by
    the temperature (Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv
    1503.02531). The teacher sees the clips as the network does, mixed ones included; it does not
    train and is no part of checkpoints.

    Args:
        teacher: checkpoint of the dense network, as a rule that of `model.weights`.
        weight: share of the teacher in the loss. Half: it knows of the classes' likeness, and
            labels of where it is wrong.
        temperature: the higher, the more the teacher's small probabilities count.

    Raises:
        ValueError: an argument is out of range, or the file is no checkpoint.
        FileNotFoundError: no such checkpoint.
    """

    def __init__(self, teacher: str, weight: float = 0.5, temperature: float = 2.0) -> None:
        require(0 < weight <= 1, f"weight={weight}: above 0, up to 1")
        require(temperature > 0, f"temperature={temperature}: above 0")
        try:
            read_checkpoint(teacher)  # before anything is trained
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"teacher={error}") from error
        self.teacher, self.weight, self.temperature = teacher, weight, temperature
        self._network: nn.Module | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Load the teacher, and have its say in the loss.

        Raises:
            ValueError: it knows other classes.
        """
        teacher = load_classifier(self.teacher, pl_module.device)
        ours, theirs = (int(m.hparams["num_classes"]) for m in (pl_module, teacher))
        require(
            ours == theirs,
            f"teacher={self.teacher}: was trained for {theirs} classes, the network for {ours}",
        )
        self._network = teacher.requires_grad_(False)
        pl_module.distill = self.loss  # type: ignore[assignment]

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let the teacher go."""
        if stage == "fit":
            pl_module.distill = None  # type: ignore[assignment]
            self._network = None

    def loss(self, clip: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        """The loss with the teacher's part.

        Args:
            clip: N C D H W.
            logits: of the network, (N, num_classes).
            loss: without the teacher.
        """
        assert self._network is not None
        with torch.no_grad():
            wanted = self._network(clip)
        return (1 - self.weight) * loss + self.weight * distance(logits, wanted, self.temperature)


def distance(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """temperature² KL(teacher || network), mean over clips: gradients as large as without it."""
    ours = F.log_softmax(logits / temperature, dim=-1)
    theirs = F.log_softmax(teacher / temperature, dim=-1)
    divergence = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return temperature**2 * divergence
