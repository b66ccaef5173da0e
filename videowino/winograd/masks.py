"""Which columns of a layer are computed, for which channels, and what follows from that."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from videowino.winograd.blocks import BLOCK, block_count, block_slices
from videowino.winograd.compensation import block_refit, refit
from videowino.winograd.parameterization import column_scale
from videowino.winograd.scores import ColumnScores
from videowino.winograd.transforms import filter_matrix


class ColumnMask(ColumnScores):
    """The mask of one layer; a base of `WinogradConv3d`, which brings what is trained.

    Attributes:
        column_mask: (P,) bool buffer; False columns are pruned and cost nothing.
        block_mask: (B, P) bool buffer, the columns kept by each block of 16 input channels; None
            where all blocks keep the same. A column is kept where a block keeps it: `column_mask`
            follows from this one.
        compensated: bool buffer; whether the kept columns make up for the pruned ones.
        kept_columns: (P',) int64, ascending; None while all are kept.
        kept_blocks: (B, P'), `block_mask` over the kept columns; None as that is.
        filter_transform: (P', taps), or (B, P', taps) with a `block_mask`: what transforms a
            filter once `compensated`; else None.
        right_transform: (B, P, P'), the same for `right`, with a `block_mask` alone; else None.
        column_scale: (P,), what `vanilla` trains U divided by; None in the others.
    """

    parameterization: str
    weight: Tensor | None
    left: nn.Parameter | None
    in_channels: int
    block_mask: Tensor | None
    compensated: Tensor
    kept_columns: Tensor | None
    kept_blocks: Tensor | None
    filter_transform: Tensor | None
    right_transform: Tensor | None
    column_scale: Tensor | None

    def _create_mask(self, device: torch.device) -> None:
        mask = torch.ones(self.columns, dtype=torch.bool, device=device)
        self.register_buffer("column_mask", mask)
        self.register_buffer("block_mask", None)
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
    def blocks(self) -> int:
        """B, of 16 input channels each, the last of what is left."""
        return block_count(self.in_channels)

    @property
    def blocks_kept(self) -> int:
        """Of B * P blocks of columns, those that are computed."""
        if self.block_mask is None:
            return self.columns_kept * self.blocks
        return int(self.block_mask.sum())

    @property
    def columns_multiplied(self) -> float:
        """How many whole columns take as many multiplications: P', or less with a `block_mask`."""
        if self.block_mask is None:
            return self.columns_kept
        sizes = torch.tensor([c.stop - c.start for c in block_slices(self.in_channels)])
        return int((self.block_mask.sum(1).cpu() * sizes).sum()) / self.in_channels

    @property
    def column_sparsity(self) -> float:
        """The fraction of columns pruned, where some blocks keep one its part that is pruned."""
        return 1 - self.columns_multiplied / self.columns

    @property
    def mask(self) -> Tensor:
        """`block_mask`, (B, P), where there is one, else `column_mask`, (P,)."""
        return self.column_mask if self.block_mask is None else self.block_mask

    def kept_by_block(self) -> Tensor:
        """(B, P) bool, the columns kept by each block, also where all keep the same."""
        if self.block_mask is not None:
            return self.block_mask
        return self.column_mask.expand(self.blocks, -1)

    @torch.no_grad()
    def set_column_mask(self, mask: Tensor, compensate: bool = True) -> None:
        """Prune the columns where mask is False; the earlier mask, or blocks' masks, are replaced.

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
            self._refit(mask)
        self.block_mask = None
        self.column_mask.copy_(mask)
        self.compensated.fill_(compensate)
        self._derive()

    @torch.no_grad()
    def set_block_mask(self, mask: Tensor, compensate: bool = True) -> None:
        """Prune columns by blocks of 16 input channels; the earlier mask is replaced.

        A mask that is the same for all blocks is set as `set_column_mask` does.

        Args:
            mask: (B, P) bool.
            compensate: As in `set_column_mask`, each block by itself. `right`, which all blocks
                share, stays as it is: it is mapped for each block whenever U is made.

        Raises:
            ValueError: Wrong shape or type, or nothing kept.
        """
        if mask.dtype != torch.bool or tuple(mask.shape) != (self.blocks, self.columns):
            raise ValueError(
                f"mask is {mask.dtype} {tuple(mask.shape)}; {self.tile} with {self.in_channels} "
                f"input channels, {BLOCK} a block, expects bool ({self.blocks}, {self.columns})"
            )
        if bool((mask == mask[:1]).all()):
            self.set_column_mask(mask[0], compensate)
            return
        if compensate:
            self._refit(mask)
        self.block_mask = mask.to(self.column_mask.device, copy=True)
        self.compensated.fill_(compensate)
        self._derive()

    def set_mask(self, mask: Tensor, compensate: bool = True) -> None:
        """`set_column_mask` for (P,), `set_block_mask` for (B, P)."""
        (self.set_column_mask if mask.dim() == 1 else self.set_block_mask)(mask, compensate)

    def _refit(self, after: Tensor) -> None:
        """Map what is trained over columns to a mask, (P,) or (B, P).

        Filter transforms, and with blocks that of `right`, follow from the mask.
        """
        if self.parameterization == "vanilla":
            assert self.weight is not None
            if self.block_mask is None and after.dim() == 1:
                self._fit(self.weight, self.column_mask, after)
                return
            slices, masks = block_slices(self.in_channels), self.kept_by_block()
            for c, old, new in zip(slices, masks, after.expand(self.blocks, -1), strict=True):
                self._fit(self.weight[:, c], old, new)
        elif self.right is not None and after.dim() == 1:
            every = torch.ones_like(self.column_mask)
            self._fit(self.right, self.column_mask if self.block_mask is None else every, after)

    def _fit(self, trained: Tensor, old: Tensor, new: Tensor) -> None:
        """Map trained columns in place; old, new: (P,) bool, what is kept before and after."""
        before, after = _indices(old) if self.compensated else None, _indices(new)
        scale = torch.ones(self.columns) if self.column_scale is None else self.column_scale
        scale = scale.to(trained.device, torch.float64)
        kept = slice(None) if before is None else before
        weight = (trained.double() * scale)[..., kept]
        fitted = torch.zeros_like(trained, dtype=torch.float64)
        found = weight @ refit(self.tile, before, after).to(weight.device)
        fitted[..., slice(None) if after is None else after] = found
        trained.copy_(fitted / scale)

    def given_away(self, granularity: str = "column") -> Tensor:
        """(P,) bool: pruned columns whose trained weight a refit has given to the others.

        They come back without it. A `spatial` filter, and the frozen one of `low_rank`, gives
        nothing away: its columns are made anew for every mask.

        Args:
            granularity: "column", or "block" for (B, P), that by blocks of channels.
        """
        by_block = granularity == "block"
        trained = self.weight if self.parameterization == "vanilla" else self.right
        if trained is None or (self.parameterization == "low_rank" and not self._is_updated()):
            return torch.zeros_like(self.kept_by_block() if by_block else self.column_mask)
        empty = trained.detach() == 0
        if not by_block:
            return ~self.column_mask & empty.flatten(0, -2).all(0)
        parts = [empty] * self.blocks
        if self.parameterization == "vanilla":
            parts = [empty[:, c] for c in block_slices(self.in_channels)]
        return ~self.kept_by_block() & torch.stack([e.flatten(0, -2).all(0) for e in parts])

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
        self.kept_columns = self.kept_blocks = None
        self.filter_transform = self.right_transform = None
        if self.column_mask.is_meta:
            return
        if self.block_mask is not None and not torch.equal(
            self.column_mask, kept := self.block_mask.any(0)
        ):
            self.column_mask = kept
        self.kept_columns = _indices(self.column_mask)
        if self.block_mask is not None:
            self.kept_blocks = self.block_mask[:, self.column_mask]
        # After `to_empty` the mask may be anything, until a state dict is loaded.
        pruned = self.kept_columns is not None or self.kept_blocks is not None
        if not pruned or not bool(self.column_mask.any()) or not bool(self.compensated):
            return
        k = filter_matrix(self.tile, torch.float64, torch.device("cpu"))
        if self.block_mask is None:
            self.filter_transform = (refit(self.tile, None, self.kept_columns).T @ k).to(self.gate)
        else:
            maps = block_refit(self.tile, self.block_mask)
            self.filter_transform = (maps.mT @ k).to(self.gate)
            self.right_transform = None if self.right is None else maps.to(self.gate)

    def make_room(self, state_dict: Mapping[str, Any], prefix: str = "") -> None:
        """Have those buffers by block that a state dict has of this layer, no others.

        Args:
            state_dict: To be loaded, which does this by itself.
            prefix: Of the layer's names in it.
        """
        if f"{prefix}column_mask" not in state_dict:
            return
        like = {"block_mask": self.column_mask, "block_score": self.column_score}
        for name, columns in like.items():
            found = f"{prefix}{name}" in state_dict
            setattr(self, name, columns.repeat(self.blocks, 1) if found else None)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        self.make_room(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._derive()

    def _apply(self, *args: Any, **kwargs: Any) -> "ColumnMask":
        super()._apply(*args, **kwargs)
        self._derive()
        return self


def _indices(mask: Tensor) -> Tensor | None:
    return None if bool(mask.all()) else mask.nonzero().flatten()
