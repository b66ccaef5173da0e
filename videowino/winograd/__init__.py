"""Winograd convolution in plain PyTorch: the mathematics, and the reference for every kernel."""

from videowino.winograd.columns import column_sparsity, select_columns, winograd_layers
from videowino.winograd.cook_toom import cook_toom
from videowino.winograd.eligibility import ineligible_reason
from videowino.winograd.functional import winograd_conv3d
from videowino.winograd.layers import WinogradConv3d
from videowino.winograd.tile import Tile, fit_tile

__all__ = [
    "Tile",
    "WinogradConv3d",
    "column_sparsity",
    "cook_toom",
    "fit_tile",
    "ineligible_reason",
    "select_columns",
    "winograd_conv3d",
    "winograd_layers",
]
