"""`VideoClassifier`: trains and tests any backbone, dense or swapped to Winograd layers.

Shapes: clip: B C T H W in training, B V C T H W in evaluation (V views of one video); the network
takes N C D H W and returns logits (N, num_classes).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from videowino.cli import require
from videowino.data.scores import count_wrong, unreadable
from videowino.models import create_model
from videowino.surgery import convert, ranks
from videowino.training.hyperparameters import WinogradConfig, check_same_network, plain
from videowino.training.length import length_of
from videowino.training.mixing import Mixing
from videowino.training.optimizers import optimizer_for
from videowino.training.processes import largest_of_processes
from videowino.training.schedules import learning_rate_factor
from videowino.training.sharding import clip_gradients, is_sharded
from videowino.training.sync_batch_norm import is_synchronized


class VideoClassifier(pl.LightningModule):
    """A backbone with its loss, optimizer and metrics.

    The network is built, given `weights`, then swapped if `winograd` is given: fine-tuning from a
    dense checkpoint is the normal way in. Accuracy is logged clip-level (each view counts) and
    video-level (class probabilities averaged over a video's views), top-1 and top-5; with five
    classes or fewer, top-k with the largest k that can fail, named so.

    Args:
        backbone: a name of `videowino.list_models()`.
        num_classes: size of the classifier; taken from the data on the command line.
        width: scales the channels of every layer.
        weights: what to start from: a name of torchvision's weights enum, or a file.
        dropout: probability before the classifier; None keeps the backbone's own.
        stem: small takes 3 taps a frame axis in the stem, for frames below about 80 pixels.
        winograd: how to swap the convolutions; None trains the dense network.
        optimizer: sgd is with Nesterov momentum.
        lr: learning rate at the end of the warm-up.
        momentum: of SGD; the first beta of AdamW.
        weight_decay: norms, biases and gates never decay; both factors do (`parameter_groups`).
        factor_lr_scale: times `lr` for the factors of low_rank and factored.
        vanilla_lr_scale: times `lr` for the Winograd weights of vanilla.
        warmup_epochs: epochs of linear warm-up, fractions allowed.
        milestones: epochs after which the learning rate falls to a tenth, all before the end; a
            cosine down to 0 if None.
        label_smoothing: share of the target spread over all classes.
        mixup: alpha of the Beta distribution that pairs of clips are mixed by; 0 mixes none.
        cutmix: alpha of the one that says how large a box, the same in all frames, a clip takes
            from another; 0 takes none. Where both are on, each batch is mixed by one or the other,
            at even odds.
        clips_at_once: clips in one evaluation forward pass, which bounds its memory.
        channels_last: keep channels last in memory, which a CPU trains faster in; the numbers are
            the same up to rounding.

    Raises:
        ValueError: an argument is out of range, or the weights do not fit.
        FileNotFoundError: no such weights file.
    """

    # What a teacher makes of clips, logits and loss (`videowino.callbacks.Distillation`).
    distill: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None

    def __init__(
        self,
        backbone: str = "r3d_18",
        num_classes: int = 400,
        width: float = 1.0,
        weights: str | None = None,
        dropout: float | None = None,
        stem: Literal["default", "small"] = "default",
        winograd: WinogradConfig | None = None,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        factor_lr_scale: float = 1.0,
        vanilla_lr_scale: float = 1.0,
        warmup_epochs: float = 0.0,
        milestones: list[int] | None = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        clips_at_once: int = 16,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(winograd, dict):  # as a checkpoint has it
            winograd = WinogradConfig(**winograd)
        self.save_hyperparameters(ignore=["weights", "winograd"])
        self.save_hyperparameters(  # as plain types, which a checkpoint loads without running code
            {
                "weights": None if weights is None else str(weights),
                "winograd": None if winograd is None else plain(asdict(winograd)),
            }
        )
        require(optimizer in ("sgd", "adamw"), f"model.optimizer={optimizer!r}: sgd or adamw")
        require(0 < lr < math.inf, f"model.lr={lr}: must be above 0, and finite")
        require(0 <= momentum < 1, f"model.momentum={momentum}: from 0 to below 1")
        require(weight_decay >= 0, f"model.weight_decay={weight_decay}: 0 or more")
        require(factor_lr_scale > 0, f"model.factor_lr_scale={factor_lr_scale}: above 0")
        require(vanilla_lr_scale > 0, f"model.vanilla_lr_scale={vanilla_lr_scale}: above 0")
        require(warmup_epochs >= 0, f"model.warmup_epochs={warmup_epochs}: 0 or more")
        require(min(milestones or [1]) >= 1, f"model.milestones={milestones}: epochs, from 1 on")
        require(0 <= label_smoothing < 1, f"model.label_smoothing={label_smoothing}: 0 to 1")
        require(mixup >= 0, f"model.mixup={mixup}: 0 (off) or more")
        require(cutmix >= 0, f"model.cutmix={cutmix}: 0 (off) or more")
        require(clips_at_once >= 1, f"model.clips_at_once={clips_at_once}: at least 1")

        self.model = create_model(
            backbone, num_classes, width=width, weights=weights, dropout=dropout, stem=stem
        )
        if channels_last:
            self.model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.conversion = None if winograd is None else convert(self.model, **vars(winograd))
        if winograd is not None and isinstance(winograd.rank, float):
            # What a checkpoint is built by before it has weights to take ranks from.
            self.hparams["winograd"]["rank"] = ranks(self.model)
        self._mix = Mixing(mixup, cutmix, num_classes) if mixup or cutmix else None
        self.train_accuracy = MulticlassAccuracy(num_classes, average="micro")
        # Means over all processes' clips: `self.log` would weigh processes, not clips.
        self.train_loss, self.val_loss, self.test_loss = (MeanMetric() for _ in range(3))
        top = _accuracies(num_classes)
        self.val_clip = top.clone(prefix="val/clip_")
        self.val_video = top.clone(prefix="val/video_")
        self.test_clip = top.clone(prefix="test/clip_")
        self.test_video = top.clone(prefix="test/video_")

    def forward(self, x: Tensor) -> Tensor:
        """x: N C D H W, or the clips of a batch that has none -> logits (N, num_classes)."""
        return self.model(self.laid_out(x if len(x) else self._shaped(x)))

    def _shaped(self, none: Tensor) -> Tensor:
        """No clips in the shape of the data's, which a batch without any does not have."""
        if none.dim() == 5:
            return none
        data = self.trainer.datamodule.hparams  # type: ignore[attr-defined]
        like = next(p for p in self.parameters() if p.is_floating_point())
        return none.new_zeros(0, 3, data["frames"], *data["size"]).to(like.dtype)

    def laid_out(self, x: Tensor) -> Tensor:
        """x: N C D H W, in the memory format that the network is trained in."""
        last = self.hparams["channels_last"]
        return x.contiguous(memory_format=torch.channels_last_3d) if last else x

    def dense_network(self) -> nn.Module:
        """The backbone as it is without a swap, newly initialised: what speed is compared with."""
        h = self.hparams
        model = create_model(
            h["backbone"], h["num_classes"], width=h["width"], dropout=h["dropout"], stem=h["stem"]
        )
        if h["channels_last"]:
            model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        return model

    def whole_network(self) -> nn.Module:
        """The network; where it is sharded a copy that is whole, which all processes ask for."""
        if not is_sharded(self.model):
            return self.model
        arguments = {k: v for k, v in self.hparams.items() if not k.startswith("_")}
        with isolate_rng():
            copy = VideoClassifier(**arguments | {"weights": None}).model
        copy.load_state_dict(self.model.state_dict())
        like = next(p for p in self.parameters() if p.is_floating_point())
        return copy.to(self.device, like.dtype).train(self.model.training)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of a batch of clips B C T H W; 0 with gradients of 0 for one without clips."""
        clip, label = batch["clip"], batch["label"]
        if len(label) == 0:  # the other processes wait for this one
            self.log("train/loss_epoch", self.train_loss, on_step=False, on_epoch=True)
            self._log_train_accuracy()
            return self._of_no_clips(clip)
        target = label
        if self._mix is not None:
            clip, target = self._mix(clip, label)
        logits = self(clip)
        loss = F.cross_entropy(logits, target, label_smoothing=self.hparams["label_smoothing"])
        if self.distill is not None:
            loss = self.distill(clip, logits, loss)
        size = len(label)
        self.log("train/loss", loss, prog_bar=True, batch_size=size)
        self.train_loss.update(loss.detach(), size)
        self.log("train/loss_epoch", self.train_loss, on_step=False, on_epoch=True)
        if self._mix is None:
            self.train_accuracy.update(logits.detach(), label)
        self._log_train_accuracy()
        return loss

    def _of_no_clips(self, clip: Tensor) -> Tensor:
        """0 with gradients of 0, and no statistics but those that all processes make together."""
        norms = [m for m in self.modules() if isinstance(m, _BatchNorm) and not is_synchronized(m)]
        for norm in norms:
            norm.eval()
        nothing = self(clip).sum() * 0
        for norm in norms:
            norm.train()
        return nothing

    def _log_train_accuracy(self) -> None:
        if self._mix is None:  # a mixed clip has no single right class
            self.log("train/clip_top1", self.train_accuracy, on_step=False, on_epoch=True)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Metrics of a batch of videos B V C T H W; what callbacks see of it.

        Returns:
            {"probabilities": B x classes, mean over views, "label": B, "read": B bool}.
        """
        return self._evaluate(batch, "val", self.val_clip, self.val_video)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Metrics of a batch of videos B V C T H W."""
        self._evaluate(batch, "test", self.test_clip, self.test_video)

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Class probabilities of videos: {"video": B, "label": B, "probabilities": B x classes}.

        Those of videos that cannot be read are NaN.
        """
        probabilities = self.video_logits(batch["clip"]).softmax(-1).mean(1)
        probabilities[unreadable(batch)] = float("nan")
        return {"video": batch["video"], "label": batch["label"], "probabilities": probabilities}

    def video_logits(self, clip: Tensor) -> Tensor:
        """Logits of every view, (B, V, num_classes), a bounded number of clips at a time.

        Args:
            clip: B V C T H W.
        """
        clips = clip.flatten(0, 1) if len(clip) else clip
        parts = list(clips.split(self.hparams["clips_at_once"])) if len(clip) else []
        if is_sharded(self):  # all processes pass through the network as often
            most = largest_of_processes(self.trainer, len(parts))
            parts += [clips[:0]] * (most - len(parts))
        logits = [self(part) for part in parts]
        if len(clip) == 0:
            return clip.new_zeros(0, 1, self.hparams["num_classes"])
        return torch.cat(logits).unflatten(0, clip.shape[:2]).float()

    def _evaluate(
        self, batch: dict[str, Tensor], stage: str, by_clip: Any, by_video: Any
    ) -> dict[str, Tensor]:
        """Count a batch; one without videos is logged too, for metrics are merged by all."""
        logits, label, bad = self.video_logits(batch["clip"]), batch["label"], unreadable(batch)
        mean_loss = getattr(self, f"{stage}_loss")
        probabilities = logits.softmax(-1).mean(1)
        if len(label):
            views = logits.shape[1]
            clip_logits, clip_label = logits.flatten(0, 1), label.repeat_interleave(views)
            clip_bad = bad.repeat_interleave(views)
            by_clip.update(count_wrong(clip_logits, clip_label, clip_bad), clip_label)
            by_video.update(count_wrong(probabilities, label, bad), label)
            if not bad.all():
                loss = F.cross_entropy(clip_logits[~clip_bad], clip_label[~clip_bad])
                mean_loss.update(loss, int((~clip_bad).sum()))
        size = max(1, len(label))  # of no effect on metrics
        self.log(f"{stage}/loss", mean_loss, batch_size=size)
        self.log_dict(by_clip, batch_size=size)
        self.log_dict(by_video, batch_size=size, prog_bar=stage == "val")
        return {"probabilities": probabilities, "label": label, "read": ~bad}

    def configure_optimizers(self) -> Any:
        """SGD or AdamW, with a learning rate set at every optimizer step."""
        h = self.hparams
        optimizer = optimizer_for(self.model, h)
        factor = learning_rate_factor(length_of(self.trainer), h["warmup_epochs"], h["milestones"])
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """As Lightning does, and where gradients are shards, over all of them."""
        if not is_sharded(self):
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )
        elif gradient_clip_val:
            held = [p.grad for p in self.parameters() if p.grad is not None]
            clip_gradients(held, gradient_clip_val, gradient_clip_algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the data module's class, which its hyper-parameters do not tell, and class names."""
        data = getattr(self.trainer, "datamodule", None)
        if data is not None:
            kind = type(data)
            checkpoint["datamodule_class"] = f"{kind.__module__}.{kind.__qualname__}"
            checkpoint["class_names"] = list(getattr(data, "class_names", ())) or None
            key = data.CHECKPOINT_HYPER_PARAMS_KEY
            checkpoint[key] = plain(checkpoint.get(key, {}))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses the checkpoint of another network.

        Raises:
            ValueError: it is one; the message names both.
        """
        check_same_network(checkpoint, dict(self.hparams), self._checkpoint_name())

    def _checkpoint_name(self) -> str:
        path = self._trainer.ckpt_path if self._trainer is not None else None
        return str(path or "checkpoint")


def _accuracies(num_classes: int) -> MetricCollection:
    """Top-1, and top-5 or the largest top-k below the number of classes."""
    k = min(5, num_classes - 1)
    ks = (1, k) if k > 1 else (1,)
    return MetricCollection(
        {f"top{k}": MulticlassAccuracy(max(2, num_classes), top_k=k, average="micro") for k in ks}
    )
