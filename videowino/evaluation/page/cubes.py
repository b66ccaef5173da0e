"""The columns of a network's layers, as the page draws them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from videowino.evaluation.page.content import Cube
from videowino.winograd import winograd_layers

SHADES = 5
_STEP, _GAP = 8, 6  # pixels from column to column, and between slices


def cubes_of(model: nn.Module) -> list[Cube]:
    """A cube a Winograd layer, kept columns shaded by their magnitude."""
    return [
        Cube(
            layer=name,
            tile=str(layer.tile),
            alpha=layer.tile.alpha,
            shades=shades_of(
                layer.column_mask, layer.scores("magnitude") * layer.kept_by_block().float().mean(0)
            ),
            blocks=None if layer.block_mask is None else layer.columns_multiplied,
        )
        for name, layer in winograd_layers(model).items()
    ]


def shades_of(mask: Tensor, scores: Tensor) -> list[int]:
    """0 for a pruned column, else 1 to `SHADES`, in equal steps up to the largest score.

    Args:
        mask: (P,) bool, the kept ones.
        scores: (P,).
    """
    scores = scores.detach().float().cpu().masked_fill(~mask.cpu(), 0.0)
    top = max(float(scores.max()), torch.finfo(torch.float32).tiny)
    shades = (scores / top * SHADES).ceil().clamp(1, SHADES)
    return torch.where(mask.cpu(), shades, 0).int().tolist()


def cube_size(cube: Cube) -> tuple[int, int]:
    """(width, height) in pixels: slices of depth side by side."""
    depth, height, width = cube.alpha
    return depth * (width * _STEP + _GAP) - _GAP, height * _STEP


def cube_paths(cube: Cube) -> list[tuple[int, str]]:
    """An SVG path for each shade, with a square a column."""
    _, height, width = cube.alpha
    squares: dict[int, list[str]] = {}
    for index, shade in enumerate(cube.shades):
        d, h, w = index // (height * width), index // width % height, index % width
        left, top = d * (width * _STEP + _GAP) + w * _STEP, h * _STEP
        squares.setdefault(shade, []).append(f"M{left} {top}h{_STEP - 1}v{_STEP - 1}h-{_STEP - 1}z")
    return [(shade, "".join(parts)) for shade, parts in sorted(squares.items())]
