"""Scores of test videos of which some cannot be read: they count as wrong, as none is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def unreadable(batch: Mapping[str, Any]) -> Tensor:
    """(B,) bool: the videos of an evaluation batch that stand for files that cannot be read."""
    given = batch.get("unreadable")
    return torch.zeros(len(batch["label"]), dtype=torch.bool) if given is None else given


def count_wrong(scores: Tensor, label: Tensor, bad: Tensor) -> Tensor:
    """Scores whose bad rows put the true class last, so that no top-k holds it.

    Args:
        scores: (N, num_classes), logits or probabilities.
        label: (N,).
        bad: (N,) bool.
    """
    if not bad.any():
        return scores
    last = torch.zeros_like(scores).scatter_(1, label[:, None], -1.0)
    return torch.where(bad[:, None].to(scores.device), last, scores)
