"""`FullySharded`: processes share a network's parameters and what its optimizer holds of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.layer_sync import LayerSync
from pytorch_lightning.strategies import ModelParallelStrategy, StrategyRegistry
from pytorch_lightning.strategies.strategy import Strategy
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from videowino.cli import require
from videowino.training.sharding import (
    average_whole_gradients,
    is_sharded,
    like,
    same_in_all,
    shard,
    whole,
)

_TIMEOUT = timedelta(minutes=30)  # torch's own


class FullySharded(ModelParallelStrategy):
    """Lightning's strategy for `fully_shard`, with what a pruned network needs of it.

    All parameters but those of Winograd layers are sharded, and so are their gradients, momenta
    and averages (EMA); see `videowino.training.sharding`. A network that is only tested stays
    whole. Checkpoints are the ordinary ones, in one file: a training can go on from them with any
    strategy and number of processes.

    Lightning's own gives an optimizer's states to other parameters where a checkpoint was saved
    with another strategy (it numbers them as the network does, not as parameter groups do), loads
    no masks by block, which come with a checkpoint, and leaves `sync_batchnorm` alone.

    Args:
        process_group_backend: nccl, gloo; by the device if None.
        timeout: after which a process that waits for another ends.
    """

    NAME = "fully_sharded"  # trainer.strategy by name
    _layer_sync: LayerSync | None = None
    _statistics_differ = False

    def __init__(
        self, process_group_backend: str | None = None, timeout: timedelta = _TIMEOUT
    ) -> None:
        super().__init__(
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,
            process_group_backend=process_group_backend,
            timeout=timeout,
        )

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """Before: while the network is whole."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """As ever."""
        return True

    def setup_environment(self) -> None:
        """One dimension: all processes share what is sharded."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: pl.Trainer) -> None:
        """Shard, if there is something to train."""
        assert self.lightning_module is not None and self.accelerator is not None
        self.accelerator.setup(trainer)
        fits = trainer.state.fn == TrainerFn.FITTING
        self.model = self.lightning_module
        require(
            getattr(self.precision_plugin, "scaler", None) is None,
            "trainer.precision=16-mixed: scales gradients, which trainer.strategy=fully_sharded "
            "does not; choose bf16-mixed",
        )
        if fits and self._layer_sync is not None:
            self.model = self._layer_sync.apply(self.model)
        self.model = self.precision_plugin.convert_module(self.model)
        self.model_to_device()
        if not is_sharded(self.model):  # by an earlier training
            same_in_all([*self.model.parameters(), *self.model.buffers()])
            if fits:
                self.shard(self.lightning_module)
        if fits:
            # What inference mode brings together could not be trained with afterwards.
            trainer.fit_loop.epoch_loop.val_loop.inference_mode = False
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()

    def shard(self, classifier: nn.Module) -> None:
        """Leave this process its part of a classifier's network, or of an average of it."""
        assert isinstance(classifier.model, nn.Module)
        shard(classifier.model, self.device_mesh["data_parallel"])

    def post_backward(self, closure_loss: Tensor) -> None:
        """Average what `fully_shard` leaves alone."""
        assert self.lightning_module is not None
        average_whole_gradients(self.lightning_module)

    def on_validation_start(self) -> None:
        """Remember that each process has gathered statistics of its own."""
        self._statistics_differ = True

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        """With the first process's running statistics, or their average, in all, as with ddp."""
        if self._statistics_differ:
            assert self.lightning_module is not None
            norms = [m for m in self.lightning_module.modules() if isinstance(m, _BatchNorm)]
            same_in_all(buffer for norm in norms for buffer in norm.buffers())
            self._statistics_differ = False
        return super().validation_step(*args, **kwargs)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Of the whole network."""
        return Strategy.lightning_module_state_dict(self)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Of whole parameters."""
        return _with_tensors(Strategy.optimizer_state(self, optimizer), _whole)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: Any = None) -> dict[str, Any]:
        """Every process reads the file."""
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Into the whole network."""
        Strategy.load_model_state_dict(self, checkpoint, strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Of whole parameters, of which each process takes its rows."""
        states = []
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            numbers = [n for group in state["param_groups"] for n in group["params"]]
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            of = dict(zip(numbers, parameters, strict=True))
            states.append(_with_tensors(state, partial(_rows, of)))
        Strategy.load_optimizer_state_dict(self, {"optimizer_states": states})

    def teardown(self) -> None:
        """Leave batch norms as they were."""
        if self._layer_sync is not None and self.lightning_module is not None:
            if is_sharded(self.lightning_module):
                self._layer_sync.revert(self.lightning_module)
        super().teardown()


def _rows(parameters: Mapping[int, Tensor], number: int, value: Tensor) -> Tensor:
    return like(value, parameters[number])


def _whole(number: int, value: Tensor) -> Tensor:
    return whole(value)


def _with_tensors(state: dict[str, Any], change: Callable[[int, Tensor], Tensor]) -> dict[str, Any]:
    """An optimizer's state with its tensors changed.

    Args:
        state: of an optimizer.
        change: of a parameter's number and a tensor that is held of it.
    """
    changed = {
        number: {
            name: change(number, value) if isinstance(value, Tensor) else value
            for name, value in held.items()
        }
        for number, held in state["state"].items()
    }
    return {**state, "state": changed}


if FullySharded.NAME not in StrategyRegistry:
    StrategyRegistry.register(FullySharded.NAME, FullySharded, description=FullySharded.__doc__)
