"""Where a number stopped being one: the first layer of a network whose output is not finite."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from videowino.training.sharding import is_sharded, own
from videowino.training.sync_batch_norm import is_synchronized
from videowino.winograd import WinogradConv3d

_LARGEST_HALF = torch.finfo(torch.float16).max


def first_not_finite(trainer: pl.Trainer, module: pl.LightningModule, clip: Tensor) -> str | None:
    """What is not finite in a forward pass over a training batch, the earliest first.

    Processes that wait for each other in batch norms, or for shards, all have to call it.

    Args:
        trainer: whose precision the pass has.
        module: in the mode it trains in.
        clip: B C T H W.

    Returns:
        Words for a message; None where everything is finite.
    """
    outputs = _outputs(trainer, module, clip)
    if not _finite(clip):
        return "the clips themselves (is data.std 0 for a channel?)"
    for name, parameter in module.named_parameters():
        if not _finite(parameter):
            return f"the weight {_plain(name)}{_advice_on_weights(parameter)}"
    if outputs:
        return outputs[0]
    for name, parameter in module.named_parameters():
        if parameter.grad is not None and not _finite(parameter.grad):
            return f"the gradient of {_plain(name)}"
    return None


def _outputs(trainer: pl.Trainer, module: pl.LightningModule, clip: Tensor) -> list[str]:
    """The first layer's whose output is not finite, whatever a process finds in its own clips."""
    found: list[str] = []
    if len(clip) == 0 and not is_synchronized(module) and not is_sharded(module):
        return found
    handles = [
        layer.register_forward_hook(_look(found, _plain(name)))
        for name, layer in module.named_modules()
        if not any(True for _ in layer.children())
    ]
    try:
        with isolate_rng(), torch.no_grad(), trainer.precision_plugin.forward_context():
            module(clip)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _look(found: list[str], name: str) -> Any:
    def hook(layer: nn.Module, inputs: tuple, output: Any) -> None:
        if isinstance(output, Tensor) and not found and not _finite(output):
            found.append(f"the output of {name} ({_kind(layer)}){_advice(layer, output)}")

    return hook


def _advice(layer: nn.Module, output: Tensor) -> str:
    """What helps where float16 is too small for what a Winograd layer computes."""
    if output.dtype != torch.float16 or not isinstance(layer, WinogradConv3d):
        return ""
    smaller = [max(1, outputs // 2) for outputs in layer.tile.m]
    return (
        f", which float16 cannot hold, as it ends at {_LARGEST_HALF:g}; train with "
        "--trainer.precision bf16-mixed, or with the smaller tile --model.winograd.tile "
        f"{smaller}"
    )


def _advice_on_weights(parameter: Tensor) -> str:
    """What helps where weights themselves are float16, in which optimizers' small numbers are 0."""
    if parameter.dtype != torch.float16:
        return ""
    return ", which is float16; train with --trainer.precision bf16-mixed, or 16-mixed on a GPU"


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, WinogradConv3d):
        return f"{type(layer).__name__} {layer.tile}"
    return type(layer).__name__


def _plain(name: str) -> str:
    return name.removeprefix("model.")


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(own(tensor)).all())
