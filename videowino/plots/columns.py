"""The picture of a layer's columns: the cube of Winograd-domain positions, a slice a depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from videowino.winograd.tile import Triple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELL = 0.11  # inches of a position
_PRUNED = "#e8e8e8"


def columns_figure(mask: Tensor, scores: Tensor, alpha: Triple, title: str = "") -> Figure:
    """Kept columns shaded by their score, pruned ones grey.

    Args:
        mask: (P,) bool.
        scores: (P,), shown relative to the largest of the kept ones.
        alpha: positions per axis; a slice of heights and widths for each depth.
        title: above it.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure  # not pyplot: no window is wanted

    depths, heights, widths = alpha
    kept = mask.cpu().view(alpha)
    shades = scores.detach().float().cpu().view(alpha)
    top = float(shades[kept].max()) or 1.0
    size = (depths * (widths * _CELL + 0.12) + 0.3, heights * _CELL + 0.45)
    figure = Figure(figsize=size, dpi=120)
    slices = figure.subplots(1, depths, squeeze=False)[0]
    for depth, axes in enumerate(slices):
        axes.imshow(kept[depth] * 0, cmap=ListedColormap([_PRUNED]))
        shown = (shades[depth] / top).masked_fill(~kept[depth], float("nan"))
        axes.imshow(shown, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(str(depth), fontsize=6, labelpad=1)
    figure.suptitle(title, fontsize=7)
    figure.subplots_adjust(left=0.03, right=0.97, bottom=0.16, top=0.74, wspace=0.12)
    return figure
