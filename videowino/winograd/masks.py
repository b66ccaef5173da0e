"""Which columns of a layer are computed, and what follows from that."""

from typing import Any

import torch
from torch import Tensor, nn

from videowino.winograd.compensation import refit
from videowino.winograd.parameterization import column_scale
from videowino.winograd.scores import ColumnScores
from videowino.winograd.transforms import filter_matrix


class ColumnMask(ColumnScores):
    """The mask of one layer; a base of `WinogradConv3d`, which brings what is trained.

    Attributes:
        column_mask: (P,) bool buffer; False columns are pruned and cost nothing.
        compensated: bool buffer; whether the kept columns make up for the pruned ones.
        kept_columns: (P',) int64, ascending; None while all are kept.
        filter_transform: (P', taps), what transforms a filter once `compensated`; else None.
        column_scale: (P,), what `vanilla` trains U divided by; None in the others.
    """

    parameterization: str
    weight: Tensor | None
    left: nn.Parameter | None
    compensated: Tensor
    kept_columns: Tensor | None
    filter_transform: Tensor | None
    column_scale: Tensor | None

    def _create_mask(self, device: torch.device) -> None:
        mask = torch.ones(self.columns, dtype=torch.bool, device=device)
        self.register_buffer("column_mask", mask)
        self.register_buffer("compensated", torch.zeros_like(mask[0]))

    @property
    def columns(self) -> int:
        """P, pruned columns included."""
        return self.tile.positions

    @property
    def columns_kept(self) -> int:
        """P', the columns that are computed."""
        return self.columns if self.kept_columns is None else len(self.kept_columns)

    @property
    def column_sparsity(self) -> float:
        """The fraction of columns pruned."""
        return 1 - self.columns_kept / self.columns

    @torch.no_grad()
    def set_column_mask(self, mask: Tensor, compensate: bool = True) -> None:
        """Prune the columns where mask is False; the earlier mask is replaced.

        Args:
            mask: (P,) bool.
            compensate: Refit the kept columns so that the output changes least (see
                `videowino.winograd.compensation`). What is trained over columns is then zero at
                the pruned ones, and stays so where they come back (see `given_away`). Else the
                kept columns stay as they are, and columns that come back have the weight they
                left with.

        Raises:
            ValueError: Wrong shape or type, or no column kept.
        """
        if mask.dtype != torch.bool or tuple(mask.shape) != (self.columns,):
            raise ValueError(
                f"mask is {mask.dtype} {tuple(mask.shape)}; {self.tile} expects bool "
                f"({self.columns},)"
            )
        if not mask.any():
            raise ValueError("mask prunes every column; keep at least one")
        if compensate:
            self._refit(self.kept_columns if self.compensated else None, _indices(mask))
        self.column_mask.copy_(mask)
        self.compensated.fill_(compensate)
        self._derive()

    def _refit(self, before: Tensor | None, after: Tensor | None) -> None:
        """Map what is trained over columns; the filter transform follows from the mask."""
        trained = self.weight if self.parameterization == "vanilla" else self.right
        if trained is None:
            return
        old = slice(None) if before is None else before
        new = slice(None) if after is None else after
        scale = torch.ones(self.columns) if self.column_scale is None else self.column_scale
        scale = scale.to(trained.device, torch.float64)
        weight = (trained.double() * scale)[..., old]
        fitted = torch.zeros_like(trained, dtype=torch.float64)
        fitted[..., new] = weight @ refit(self.tile, before, after).to(weight.device)
        trained.copy_(fitted / scale)

    def given_away(self) -> Tensor:
        """(P,) bool: pruned columns whose trained weight a refit has given to the others.

        They come back without it. A `spatial` filter, and the frozen one of `low_rank`, gives
        nothing away: its columns are made anew for every mask.
        """
        trained = self.weight if self.parameterization == "vanilla" else self.right
        if trained is None or (self.parameterization == "low_rank" and not self._is_updated()):
            return torch.zeros_like(self.column_mask)
        return ~self.column_mask & (trained.detach() == 0).flatten(0, -2).all(0)

    def _is_updated(self) -> bool:
        return self.left is not None and bool(self.left.detach().any())

    # What is derived must serve training even where inference mode made it.
    @torch.inference_mode(False)
    @torch.no_grad()
    def _derive(self) -> None:
        """Set what follows from tile and mask and is not stored.

        These are no buffers: they come and go, and weight averaging pairs buffers by their order.
        """
        self.column_scale = None
        if self.parameterization == "vanilla":
            self.column_scale = column_scale(self.tile).to(self.gate)
        self.kept_columns = None if self.column_mask.is_meta else _indices(self.column_mask)
        self.filter_transform = None
        # After `to_empty` the mask may be anything, until a state dict is loaded.
        fitted = self.kept_columns is not None and len(self.kept_columns) > 0
        if fitted and bool(self.compensated):
            k = filter_matrix(self.tile, torch.float64, torch.device("cpu"))
            transform = refit(self.tile, None, self.kept_columns).T @ k
            self.filter_transform = transform.to(self.gate)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._derive()

    def _apply(self, *args: Any, **kwargs: Any) -> "ColumnMask":
        super()._apply(*args, **kwargs)
        self._derive()
        return self


def _indices(mask: Tensor) -> Tensor | None:
    return None if bool(mask.all()) else mask.nonzero().flatten()
