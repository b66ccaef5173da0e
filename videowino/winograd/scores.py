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
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from videowino.winograd.compensation import elimination_scores
from videowino.winograd.tile import Tile
from videowino.winograd.transforms import column_gain

Score = Literal["magnitude", "reconstruction", "taylor", "factor"]
# Those made of weights, and those of gradients, which need training steps.
WEIGHT_SCORES = ("magnitude", "reconstruction")


class ColumnScores(nn.Module):
    """The scores of one layer; the base of `WinogradConv3d`, which brings weight and gate.

    Attributes:
        column_score: (P,) float32 buffer, running mean of squared importance (bias-corrected
            by `scores`).
        score_steps: int64 buffer, how many steps went into it.
        score_decay: float32 buffer, the part of the running mean that is still its zero start.
    """

    tile: Tile
    gate: nn.Parameter
    right: nn.Parameter | None
    column_score: Tensor
    score_steps: Tensor
    score_decay: Tensor
    column_mask: Tensor

    def winograd_weight(self, masked: bool = True) -> Tensor:
        """U as it is applied, (C_out, C_in, P), or as it would be without a mask."""
        raise NotImplementedError

    def _create_scores(self, device: torch.device) -> None:
        self.register_buffer("column_score", torch.zeros(self.tile.positions, device=device))
        self.register_buffer("score_steps", torch.zeros((), dtype=torch.int64, device=device))
        self.register_buffer("score_decay", torch.ones((), device=device))

    def _apply(self, *args: Any, **kwargs: Any) -> "ColumnScores":
        held = {name: getattr(self, name) for name in ("column_score", "score_decay")}
        super()._apply(*args, **kwargs)
        for name, before in held.items():
            after = getattr(self, name)
            if after.dtype != torch.float32:
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
        squared = importance.to(self.column_score.dtype).square()
        if not bool(squared.isfinite().all()):
            return
        updated = self.column_score.lerp(squared, 1 - momentum)
        self.column_score.copy_(torch.where(self.column_mask, updated, self.column_score))
        self.score_decay.mul_(momentum)
        self.score_steps.add_(1)

    def scores(self, kind: str = "held") -> Tensor:
        """(P,) importance of each column, in the terms of the module's header.

        Args:
            kind: A score, or "held": the accumulated one, and magnitude where there is none.

        Raises:
            ValueError: Unknown kind, or a score of gradients of which none was accumulated.
        """
        if kind == "held":
            kind = "taylor" if int(self.score_steps) else "magnitude"
        check_score(kind)
        if kind == "magnitude":
            return self.magnitude()
        if kind == "reconstruction":
            return self.reconstruction()
        if int(self.score_steps) == 0:
            raise ValueError(
                f"score={kind!r} needs gradients, and this layer has accumulated none; train "
                "with it, or use 'magnitude' or 'reconstruction'"
            )
        return (self.column_score / (1 - self.score_decay)).sqrt()

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
    def magnitude(self) -> Tensor:
        """(P,) share of the layer's output energy by weight norms, as its square root."""
        norms = self.winograd_weight(masked=False).double().flatten(0, 1).norm(dim=0)
        weighted = norms * column_gain(self.tile).to(norms.device)
        total = weighted.norm()
        return (weighted / total if total > 0 else weighted).float()

    @torch.no_grad()
    def reconstruction(self) -> Tensor:
        """(P,) share of the output's energy lost in greedy removal, as its square root."""
        u = self.winograd_weight(masked=False).double().flatten(0, 1)
        scores = elimination_scores(self.tile, u.T @ u)
        return scores.float().to(self.column_score.device)

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


def check_score(kind: str) -> None:
    """Refuse an unknown score.

    Raises:
        ValueError: `kind` is no score.
    """
    if kind not in get_args(Score):
        raise ValueError(f"score={kind!r} is unknown; choose from {', '.join(get_args(Score))}")
