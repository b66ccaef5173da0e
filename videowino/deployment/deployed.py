"""`deploy`: a trained network as the one to run."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn

from videowino.deployment.convolution import FusedConv3d, is_plain
from videowino.deployment.fuse import fuse
from videowino.deployment.graph import trace
from videowino.deployment.report import DeploymentReport, measure
from videowino.deployment.tune import Tuner
from videowino.surgery import replace_modules, restore


class DeployedModel(nn.Module):
    """A network for inference alone, made by `deploy`.

    Attributes:
        network: What runs.
        traced: Whether batch norms, additions and ReLUs are part of the convolutions.
    """

    def __init__(self, network: nn.Module, traced: bool, example_shape: torch.Size) -> None:
        super().__init__()
        self.network, self.traced = network, traced
        self._shape = example_shape
        self.train(False)

    def train(self, mode: bool = True) -> DeployedModel:
        """It stays in evaluation: what it was folded from is what training needs.

        Raises:
            ValueError: `mode` is True.
        """
        if mode:
            raise ValueError("a deployed model cannot be trained; train the one it was made from")
        return super().train(False)

    @torch.no_grad()
    def forward(self, clip: Tensor) -> Tensor:
        """clip: N C D H W, of any batch size and any size the network takes."""
        return self.network(clip)

    def report(self, clip: Tensor | None = None, repeats: int = 7) -> DeploymentReport:
        """What each convolution is computed by and how long it takes: print it.

        Args:
            clip: What to run; a random one of the example's shape when None.
            repeats: Of which the medians are reported.
        """
        clip = torch.randn(self._shape) if clip is None else clip
        return measure(self, clip, repeats)

    @torch.no_grad()
    def check(self, model: nn.Module, clips: Iterable[Tensor] | None = None) -> float:
        """The largest deviation from another model, relative to the largest output of that.

        Args:
            model: Usually the one this was made from.
            clips: Each N C D H W; a random one of the example's shape when None.
        """
        clips = [torch.randn(self._shape)] if clips is None else clips
        modes = {module: module.training for module in model.modules()}
        model.eval()
        worst = 0.0
        for clip in clips:
            expected = model(clip)
            scale = expected.abs().max().clamp_min(torch.finfo(expected.dtype).tiny)
            worst = max(worst, float((self(clip) - expected).abs().max() / scale))
        for module, mode in modes.items():
            module.training = mode
        return worst


def deploy(model: nn.Module, example_clip: Tensor, *, budget: float = 0.15) -> DeployedModel:
    """The network to run: batch norms folded, what follows convolutions fused, algorithms measured.

    Args:
        model: Any network on 3D convolutions, pruned or not; left as it is.
        example_clip: N C D H W, of the size to come: algorithms are chosen for it.
        budget: Seconds to measure each geometry of unpruned convolutions.

    Raises:
        ValueError: The example is no clip.
    """
    if example_clip.dim() != 5:
        raise ValueError(f"example_clip has shape {tuple(example_clip.shape)}; expected N C D H W")
    network = nn.Sequential(deepcopy(model)).eval().requires_grad_(False)
    restore(network)
    tuner = Tuner(budget)
    graph = trace(network, example_clip, type(model).__name__)
    if graph is None:
        _one_by_one(network, example_clip, tuner)
    else:
        fuse(graph, tuner)
    deployed = DeployedModel(graph or network, graph is not None, example_clip.shape)
    deployed(example_clip)  # finds the algorithms
    return deployed


def _one_by_one(network: nn.Module, example: Tensor, tuner: Tuner) -> None:
    """Each convolution by its fastest algorithm, for networks without a graph."""
    swaps = {
        module: FusedConv3d(module, False, tuner, keep_layout=True)
        for module in network.modules()
        if is_plain(module)
    }
    replace_modules(network, swaps)
