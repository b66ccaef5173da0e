"""`deploy`: a trained network as the one to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from importlib.metadata import version
from math import prod
from os import PathLike
from typing import Any

import torch
from torch import Tensor, fx, nn

from videowino.deployment.archive import read, write
from videowino.deployment.convolution import FusedConv3d, is_plain
from videowino.deployment.fuse import fuse
from videowino.deployment.graph import trace
from videowino.deployment.preprocessing import Preprocessing
from videowino.deployment.report import DeploymentReport, measure
from videowino.deployment.tune import Tuner
from videowino.surgery import replace_modules, restore

_MOST_TRIED = 1 << 22  # values of the clips that a file may ask to be tried on


class DeployedModel(nn.Module):
    """A network for inference alone, made by `deploy` or `load`.

    It takes any batch size and any clip size that the network takes: for those it has not seen,
    each layer measures which algorithm is the fastest, once. Several threads may call it at once.

    Attributes:
        network: What runs.
        traced: Whether batch norms, additions and ReLUs are part of the convolutions.
        class_names: In the order of the outputs, or None.
        preprocessing: How its clips are made, or None.
    """

    def __init__(
        self,
        network: nn.Module,
        example_shape: Sequence[int],
        class_names: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.traced = isinstance(network, fx.GraphModule)
        self.class_names = None if class_names is None else list(class_names)
        self.preprocessing = preprocessing
        self._shape = torch.Size(example_shape)
        self.train(False)

    @property
    def example_shape(self) -> torch.Size:
        """Of the clip that it was deployed for, N C D H W."""
        return self._shape

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

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to one file, without code: `videowino.load` reads it again.

        Algorithms are not in it, as they depend on the machine.

        Raises:
            ValueError: The network has no graph, or something in it that a file cannot hold.
            OSError: The file cannot be written.
        """
        if not isinstance(self.network, fx.GraphModule):
            raise ValueError(
                "this network has no graph, so a file without code cannot hold it: keep the "
                "checkpoint, and deploy it where it is to run"
            )
        about = {
            "example_shape": list(self._shape),
            "class_names": self.class_names,
            "preprocessing": None if self.preprocessing is None else self.preprocessing.settings,
            "made_with": {"videowino": version("videowino"), "torch": torch.__version__},
        }
        write(path, self.network, about)


# What is made must serve outside of inference mode, and be seen to stay as it is.
@torch.inference_mode(False)
@torch.no_grad()
def deploy(
    model: nn.Module,
    example_clip: Tensor,
    *,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    budget: float = 0.15,
    progress: Callable[[int], object] | None = None,
) -> DeployedModel:
    """The network to run: batch norms folded, what follows convolutions fused, algorithms measured.

    Args:
        model: Any network on 3D convolutions, pruned or not; left as it is.
        example_clip: N C D H W, of the size to come: algorithms are measured for it.
        class_names: In the order of the outputs, to be kept with the network.
        preprocessing: How its clips are made, likewise.
        budget: Seconds to measure each geometry of unpruned layers.
        progress: Called with the number of geometries measured so far, before each.

    Raises:
        ValueError: The example is no clip.
    """
    if example_clip.dim() != 5:
        raise ValueError(f"example_clip has shape {tuple(example_clip.shape)}; expected N C D H W")
    network: nn.Module = nn.Sequential(deepcopy(model)).eval().requires_grad_(False)
    restore(network)
    tuner = Tuner(budget, progress)
    graph = trace(network, example_clip, type(model).__name__)
    if graph is None:
        _one_by_one(network, tuner)
    else:
        fuse(graph, tuner)
    deployed = DeployedModel(graph or network, example_clip.shape, class_names, preprocessing)
    deployed(example_clip)  # finds the algorithms
    return deployed


@torch.inference_mode(False)
@torch.no_grad()
def load(
    path: str | PathLike[str],
    *,
    budget: float = 0.15,
    progress: Callable[[int], object] | None = None,
) -> DeployedModel:
    """A model that `DeployedModel.save` wrote, tuned for this machine.

    Args:
        path: The file.
        budget: As of `deploy`.
        progress: As of `deploy`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is no deployed model, cut short, changed since, or of a newer videowino.
    """
    tuner = Tuner(budget, progress)
    graph, about = read(path, tuner)
    try:
        shape = _shape_of(about["example_shape"])
        settings = about.get("preprocessing")
        deployed = DeployedModel(
            graph,
            shape,
            about.get("class_names"),
            None if settings is None else Preprocessing.of(settings),
        )
        if prod(shape) <= _MOST_TRIED:  # others are tuned for when they come
            deployed(torch.randn(shape))
    except Exception as error:  # as many as there are networks that never were
        raise ValueError(f"{path}: holds a network that does not run: {error!r}") from error
    return deployed


def _shape_of(given: Any) -> tuple[int, ...]:
    """The example's, from a file.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(given, list) or not all(type(n) is int and 0 <= n < 2**31 for n in given):
        raise ValueError(f"example_shape={given!r}: sizes of a clip")
    return tuple(given)


def _one_by_one(network: nn.Module, tuner: Tuner) -> None:
    """Each convolution by its fastest algorithm, for networks without a graph."""
    swaps = {
        module: FusedConv3d(module, False, tuner, keep_layout=True)
        for module in network.modules()
        if is_plain(module)
    }
    replace_modules(network, swaps)
