"""Importance scores of columns, held by the layer in its state dict.

* ``magnitude``: the norm of the column's weights times the transforms' gain (`column_gain`): the
  column's share of the output for white input. Divided by the layer's total, so that layers
  compare. Computed from the weights, never accumulated.
* ``reconstruction``: the output error, for smooth input, that is left when the column has gone
  and the others have made up for it (`compensation.elimination_scores`). Also from the weights.
* ``taylor``: a gate m_p on column p has gradient <U_p, dLoss/dU_p>, the first-order change of
  the loss when the column goes (Molchanov et al., "Importance Estimation for Neural Network
  Pruning", CVPR 2019). Its square is averaged over steps.
* ``factor``: the share of it that the trained factors carry, sum_k R_kp dLoss/dR_kp. It needs no
  gate, and says nothing before the first step of `low_rank`, when the update is zero.

By blocks of input channels, (B, P): ``magnitude`` and ``taylor`` are what they are, of a block's
part of a column. ``reconstruction`` is the error that the removal itself adds, never less than that
of an earlier one: blocks do not make up for each other. ``factor`` shares each column's score among
blocks as sum_k L_ck dLoss/dL_ck is, so that squares add up to the column's: the factors' own
gradients tell how much a column, or a block, carries, not both at once.
"""

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from videowino.winograd.blocks import block_count, block_slices, check_granularity
from videowino.winograd.compensation import elimination_scores, output_gram
from videowino.winograd.tile import Tile
from videowino.winograd.transforms import column_gain

if TYPE_CHECKING:
    from videowino.winograd.probe import ColumnProbe

Score = Literal["magnitude", "reconstruction", "taylor", "factor"]
# Those made of weights, and those of gradients, which need training steps.
WEIGHT_SCORES = ("magnitude", "reconstruction")
_TINY = torch.finfo(torch.float32).tiny


class ColumnScores(nn.Module):
    """The scores of one layer; the base of `WinogradConv3d`, which brings weight and gate.

    Attributes:
        column_score: (P,) float32 buffer, running mean of squared importance (bias-corrected
            by `scores`).
        score_steps: int64 buffer, how many steps went into it.
        score_decay: float32 buffer, the part of the running mean that is still its zero start.
        block_score: (B, P) float32 buffer, as `column_score` by block; None unless `score_blocks`.
        block_gate: (B, P) ones, multiplied with the gate while blocks are scored; else None.
    """

    tile: Tile
    gate: nn.Parameter
    left: nn.Parameter | None
    right: nn.Parameter | None
    in_channels: int
    column_score: Tensor
    block_score: Tensor | None
    block_gate: Tensor | None = None
    probe: "ColumnProbe | None" = None
    score_steps: Tensor
    score_decay: Tensor
    column_mask: Tensor

    def winograd_weight(self, masked: bool = True) -> Tensor:
        """U as it is applied, (C_out, C_in, P), or as it would be without a mask."""
        raise NotImplementedError

    def kept_by_block(self) -> Tensor:
        """(B, P) bool, the columns kept by each block."""
        raise NotImplementedError

    def _create_scores(self, device: torch.device) -> None:
        self.register_buffer("column_score", torch.zeros(self.tile.positions, device=device))
        self.register_buffer("score_steps", torch.zeros((), dtype=torch.int64, device=device))
        self.register_buffer("score_decay", torch.ones((), device=device))
        self.register_buffer("block_score", None)

    def score_blocks(self, on: bool = True) -> None:
        """Have `accumulate_scores` score blocks too, or no longer, what is held staying.

        Scores start anew where none are held by block yet.
        """
        shape = block_count(self.in_channels), self.tile.positions
        if on and self.block_score is None:
            self.block_score = self.column_score.new_zeros(shape)
            self.column_score.zero_()
            self.score_steps.zero_()
            self.score_decay.fill_(1)
        gate = self.gate.detach().new_ones(shape).requires_grad_() if on else None
        self.block_gate = gate

    def _apply(self, *args: Any, **kwargs: Any) -> "ColumnScores":
        names = ("column_score", "score_decay", "block_score")
        held = {name: getattr(self, name) for name in names}
        super()._apply(*args, **kwargs)
        for name, before in held.items():
            after = getattr(self, name)
            if after is not None and after.dtype != torch.float32:
                # Squared gradients are nothing in sixteen bits: they follow the layer to its
                # device, never to its type.
                setattr(self, name, before.to(after.device))
        return self

    @torch.no_grad()
    def accumulate_scores(self, kind: str = "taylor", momentum: float = 0.9) -> None:
        """Add the current gradients' evidence; call between backward and the optimizer's step.

        Steps with non-finite gradients (a scaler's overflow) are left out. Pruned columns get no
        gradient; they keep the score that they were pruned with.

        Args:
            kind: "taylor" or "factor"; the scores of the weights need nothing and do nothing.
            momentum: Share of the old mean that is kept.

        Raises:
            ValueError: Unknown kind, "factor" on a layer without factors, momentum outside
                [0, 1).
            RuntimeError: The gradient that the score is made of is not there.
        """
        check_score(kind)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum} is out of range; choose from 0 up to below 1")
        if kind in WEIGHT_SCORES:
            return
        importance = self._taylor() if kind == "taylor" else self._factor_taylor()
        found = [(self.column_score, importance, self.column_mask)]
        if self.block_gate is not None:
            assert self.block_score is not None
            by_block = self._block_taylor() if kind == "taylor" else self._block_factor(importance)
            found.append((self.block_score, by_block, self.kept_by_block()))
        squares = [new.to(mean.dtype).square() for mean, new, _ in found]
        if not all(bool(squared.isfinite().all()) for squared in squares):
            return
        for (mean, _, kept), squared in zip(found, squares, strict=True):
            mean.copy_(torch.where(kept, mean.lerp(squared, 1 - momentum), mean))
        self.score_decay.mul_(momentum)
        self.score_steps.add_(1)

    def drop_gradients(self) -> None:
        """Forget the gradients of a step that is skipped which are no parameter's."""
        if self.block_gate is not None:
            self.block_gate.grad = None
        if self.probe is not None:
            self.probe.gate.grad = None

    def holds_scores(self, granularity: str = "column") -> bool:
        """Whether scores were accumulated."""
        held = granularity == "column" or self.block_score is not None
        return held and int(self.score_steps) > 0

    def scores(self, kind: str = "held", granularity: str = "column") -> Tensor:
        """(P,) importance of each column, in the terms of the module's header.

        Args:
            kind: A score, or "held": the accumulated one, and magnitude where there is none.
            granularity: "column", or "block" for (B, P), that of each block of 16 input channels.

        Raises:
            ValueError: Unknown kind or granularity, or a score of gradients of which none was
                accumulated.
        """
        check_granularity(granularity)
        if kind == "held":
            kind = "taylor" if self.holds_scores(granularity) else "magnitude"
        check_score(kind)
        if kind == "magnitude":
            return self.magnitude(granularity)
        if kind == "reconstruction":
            return self.reconstruction(granularity)
        mean = self.column_score if granularity == "column" else self.block_score
        if mean is None or not self.holds_scores(granularity):
            by_block = "" if granularity == "column" else " by block"
            raise ValueError(
                f"score={kind!r} needs gradients, and this layer has accumulated none{by_block}; "
                "train with it, or use 'magnitude' or 'reconstruction'"
            )
        return (mean / (1 - self.score_decay)).sqrt()

    @torch.no_grad()
    def set_scores(self, columns: Tensor, scores: Tensor) -> None:
        """Give columns a held score, as if it had been accumulated.

        Args:
            columns: Indices.
            scores: Of these.
        """
        squares = scores.to(self.column_score).square() * (1 - self.score_decay)
        self.column_score[columns] = squares

    @torch.no_grad()
    def magnitude(self, granularity: str = "column") -> Tensor:
        """(P,), or (B, P), share of the layer's output energy by weight norms, as its root."""
        norms = torch.stack([u.norm(dim=0) for u in self._unpruned(granularity)])
        weighted = norms * column_gain(self.tile).to(norms.device)
        total = weighted.norm()
        found = (weighted / total if total > 0 else weighted).float()
        return found if granularity == "block" else found[0]

    @torch.no_grad()
    def reconstruction(self, granularity: str = "column") -> Tensor:
        """(P,), or (B, P), share of the output's energy lost in greedy removal, as its root."""
        moments = [(u.T @ u).cpu() for u in self._unpruned(granularity)]
        lost = torch.stack([elimination_scores(self.tile, moment) for moment in moments])
        if granularity == "block":
            gram = output_gram(self.tile)
            energy = torch.stack([(moment * gram).sum() for moment in moments])
            whole = energy.sum().clamp_min(torch.finfo(energy.dtype).tiny)
            ordered, order = (lost.square() * (energy / whole)[:, None]).sort(dim=1, stable=True)
            added = ordered.diff(dim=1, prepend=torch.zeros_like(ordered[:, :1]))
            lost = torch.empty_like(lost).scatter_(1, order, added.cummax(1).values.sqrt())
        found = lost.float().to(self.column_score.device)
        return found if granularity == "block" else found[0]

    def _unpruned(self, granularity: str) -> list[Tensor]:
        """U as if nothing were pruned, (C_out * C_in, P): of the layer, or of each block."""
        u = self.winograd_weight(masked=False).double()
        slices = block_slices(self.in_channels) if granularity == "block" else [slice(None)]
        return [u[:, c].flatten(0, 1) for c in slices]

    def _taylor(self) -> Tensor:
        if self.gate.grad is None:
            raise RuntimeError(
                "the taylor score needs the gate's gradient; call it after backward and before "
                "zero_grad, with gate.requires_grad on"
            )
        return self.gate * self.gate.grad

    def _factor_taylor(self) -> Tensor:
        if self.right is None:
            raise ValueError(
                "score='factor' needs a low_rank or factored layer; use 'taylor' or 'magnitude'"
            )
        if self.right.grad is None:
            raise RuntimeError(
                "the factor score needs the gradient of right; call it after backward and before "
                "zero_grad"
            )
        return (self.right * self.right.grad).sum(0)

    def _block_taylor(self) -> Tensor:
        assert self.block_gate is not None
        found, self.block_gate.grad = self.block_gate.grad, None
        if found is None:
            raise RuntimeError(
                "the taylor score by block needs a forward and a backward pass since score_blocks"
            )
        # They add up to the gate's, which a gradient scaler may have put right meanwhile.
        total, column = found.sum(0).norm(), self._taylor().norm()
        return found * (column / total) if total > 0 else found

    def _block_factor(self, columns: Tensor) -> Tensor:
        assert self.left is not None and self.block_gate is not None
        self.block_gate.grad = None
        if self.left.grad is None:
            raise RuntimeError(
                "the factor score by block needs the gradient of left; call it after backward "
                "and before zero_grad"
            )
        channels = (self.left * self.left.grad).sum(1).view(-1, self.in_channels).sum(0)
        shares = torch.stack([channels[c].sum() for c in block_slices(self.in_channels)])
        return columns * (shares / shares.norm().clamp_min(_TINY))[:, None]


def check_score(kind: str) -> None:
    """Refuse an unknown score.

    Raises:
        ValueError: `kind` is no score.
    """
    if kind not in get_args(Score):
        raise ValueError(f"score={kind!r} is unknown; choose from {', '.join(get_args(Score))}")
