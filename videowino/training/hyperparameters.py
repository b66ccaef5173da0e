"""What a checkpoint tells of its network, in plain types, and whether it is the one at hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

NETWORK = ("backbone", "num_classes", "width", "stem", "winograd")


@dataclass
class WinogradConfig:
    """How the convolutions are swapped, see `videowino.convert`.

    Args:
        parameterization: what is trained of a Winograd weight.
        rank: of the factors, for low_rank and factored; as a fraction, the share of each layer's
            energy that its rank is to hold.
        tile: outputs per tile, depth, height and width.
        points: interpolation points; the default set if None.
        include: shell patterns of layer names to swap; all eligible ones if None.
        exclude: shell patterns of layer names to leave as they are.
        strided: whether layers with strides of 2 are swapped as well.
    """

    parameterization: Literal["spatial", "vanilla", "low_rank", "factored"] = "low_rank"
    rank: int | float | dict[str, int] = 8
    tile: tuple[int, int, int] = (2, 4, 4)
    points: str | None = None
    include: list[str] | None = None
    exclude: list[str] | None = None
    strided: bool = False


def check_same_network(checkpoint: dict[str, Any], hparams: dict[str, Any], name: str) -> None:
    """Compares what makes up a network: backbone, classes, width, stem, swap.

    Raises:
        ValueError: the checkpoint's network is another one, or the file does not tell.
    """
    saved = checkpoint.get("hyper_parameters") or {}
    if "backbone" not in saved:
        raise ValueError(f"{name}: is no checkpoint of a VideoClassifier")
    if isinstance(saved.get("winograd"), dict):  # one from before an option has its default
        saved = saved | {"winograd": plain(asdict(WinogradConfig())) | saved["winograd"]}
    differing = [key for key in NETWORK if saved.get(key) != hparams.get(key)]
    if differing:
        theirs = ", ".join(f"{key}={saved.get(key)!r}" for key in differing)
        ours = ", ".join(f"{key}={hparams.get(key)!r}" for key in differing)
        raise ValueError(
            f"{name}: holds another network ({theirs}) than the one configured ({ours}); to start "
            "a new run from its weights, pass it as model.weights instead"
        )


def take_ranks(model: Any, checkpoint: dict[str, Any]) -> None:
    """Give a model's options the ranks that a checkpoint's layers have.

    Where a rank was a share of energy, it was found from weights that the run started from.

    Args:
        model: options of a `VideoClassifier`.
        checkpoint: of the run that goes on.
    """
    swap = getattr(model, "winograd", None)
    saved = (checkpoint.get("hyper_parameters") or {}).get("winograd")
    if swap is not None and isinstance(swap.rank, float) and isinstance(saved, dict):
        swap.rank = saved.get("rank", swap.rank)


def plain(value: Any) -> Any:
    """The value in types that `torch.load` takes with weights_only: lists, and paths as str."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
