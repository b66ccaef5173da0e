"""`WandbPredictions`: what a network takes videos for, in a W&B run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from videowino.cli import require
from videowino.plots.clip_file import write_clip
from videowino.plots.confusion import confusion_figure
from videowino.training.wandb_run import STEP, check_wandb, wandb_run


class WandbPredictions(pl.Callback):
    """After each validation, logs the confusion matrix and a table of clips that can be played.

    The matrix is video-level, over the videos of all processes that can be read. The table has the
    first clips of the list, the same each time, with their class, what they are taken for, and how
    probable that is.

    Args:
        clips: in the table; 0 for none.

    Raises:
        ValueError: below 0.
    """

    def __init__(self, clips: int = 8) -> None:
        require(clips >= 0, f"clips={clips}: 0 or more")
        self.clips = clips
        self._matrix: MulticlassConfusionMatrix | None = None
        self._samples: list[tuple[Tensor, int, Tensor]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say so if there is nowhere to log to."""
        check_wandb(trainer, self)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start anew."""
        classes = int(pl_module.hparams["num_classes"])
        self._matrix = MulticlassConfusionMatrix(max(2, classes)).to(pl_module.device)
        self._samples = []
        none = torch.empty(0, dtype=torch.long, device=pl_module.device)
        self._matrix.update(none, none)  # a process without videos gathers with the others

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch."""
        assert self._matrix is not None
        probabilities, label, read = outputs["probabilities"], outputs["label"], outputs["read"]
        self._matrix.update(probabilities[read].argmax(-1), label[read])
        for index in read.nonzero().flatten().tolist():
            if len(self._samples) >= self.clips or trainer.sanity_checking:
                break
            clip = batch["clip"][index, 0].detach().cpu()
            self._samples.append((clip, int(label[index]), probabilities[index].cpu()))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log; all processes gather the matrix, and the first one writes it."""
        assert self._matrix is not None
        if trainer.sanity_checking:
            return
        counts = self._matrix.compute().cpu()
        run = wandb_run(trainer)
        if run is None or not counts.any():
            return
        import wandb

        names = _class_names(trainer, len(counts))
        title = f"validation, epoch {trainer.current_epoch}"
        figure = confusion_figure(counts.tolist(), names, title)
        content: dict[str, Any] = {"val/confusion": wandb.Image(figure)}
        with tempfile.TemporaryDirectory() as folder:
            if self._samples:
                content["val/clips"] = self._table(Path(folder), names)
            run.log(content | {STEP: max(0, trainer.global_step - 1)})

    def _table(self, folder: Path, names: list[str]) -> Any:
        import wandb

        table = wandb.Table(columns=["clip", "truth", "prediction", "probability", "right"])
        for number, (clip, label, probabilities) in enumerate(self._samples):
            path = write_clip(folder / f"{number}.mp4", clip)
            said = int(probabilities.argmax())
            video = wandb.Video(str(path), format="mp4")
            right = said == label
            table.add_data(video, names[label], names[said], float(probabilities[said]), right)
        return table


def _class_names(trainer: pl.Trainer, count: int) -> list[str]:
    names = getattr(getattr(trainer, "datamodule", None), "class_names", None)
    return list(names) if names else [str(index) for index in range(count)]
