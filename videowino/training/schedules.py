"""Values that follow the optimizer's steps: the learning rate and the column sparsity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from videowino.training.length import Length


def warmup_cosine(step: int, total: int, warmup: int = 0) -> float:
    """Learning rate factor: linear up to 1, then half a cosine down to 0.

    Step 0 already learns (1 / warmup), and the factor reaches 0 just after the last step, so that
    no step is spent without learning (Loshchilov and Hutter, SGDR, arXiv 1608.03983, without
    restarts).

    Args:
        step: optimizer steps taken so far, 0 to total - 1.
        total: optimizer steps of the whole training.
        warmup: steps of the linear part.
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def warmup_milestones(
    step: int, milestones: Sequence[int], warmup: int = 0, gamma: float = 0.1
) -> float:
    """Learning rate factor: linear up to 1, then times `gamma` at each milestone (in steps)."""
    if step < warmup:
        return (step + 1) / warmup
    return gamma ** sum(step >= milestone for milestone in milestones)


def learning_rate_factor(
    length: Length, warmup_epochs: float, milestones: Sequence[int] | None
) -> Callable[[int], float]:
    """Optimizer step -> learning rate factor.

    Args:
        length: of the training. A dry run gets the full rate: it is too short for any schedule.
        warmup_epochs: epochs of the linear part.
        milestones: epochs after which the rate falls to a tenth; a cosine if None.

    Raises:
        ValueError: the training ends before the warm-up or a milestone.
    """
    if length.dry:
        return lambda step: 1.0
    warmup = length.steps(warmup_epochs)
    if warmup and warmup >= length.total:
        raise ValueError(
            f"model.warmup_epochs={warmup_epochs}: the warm-up ends after the training does "
            f"({length}); give fewer, or 0 for none"
        )
    if milestones is None:
        return lambda step: warmup_cosine(step, length.total, warmup)
    steps = [length.steps(milestone) for milestone in milestones]
    if late := [m for m, step in zip(milestones, steps) if step >= length.total]:
        raise ValueError(
            f"model.milestones={list(milestones)}: the training ({length}) does not outlast epoch "
            f"{late[0]}; give earlier milestones, or null for a cosine"
        )
    return lambda step: warmup_milestones(step, steps, warmup)


def cubic_sparsity(step: int, start: int, end: int, final: float, initial: float = 0.0) -> float:
    """Sparsity that rises fast at first and slowly at last.

    Zhu and Gupta, "To prune, or not to prune", arXiv 1710.01878, equation 1: most is pruned while
    there is much that can go, and the network has time to recover when little is left.

    Args:
        step: optimizer steps taken so far.
        start: step up to which the sparsity is `initial`.
        end: step from which it is `final`.
        final: sparsity at the end.
        initial: sparsity at the start.
    """
    if step >= end:
        return final
    if step <= start:
        return initial
    left = 1 - (step - start) / (end - start)
    return final + (initial - final) * left**3


def regrow_share(step: int, start: int, end: int, first: float) -> float:
    """Share of the pruned columns that may come back: half a cosine from `first` down to 0.

    Evci et al., "Rigging the Lottery", arXiv 1911.11134, section 3: early on there is much to learn
    of what was pruned, and the last masks are to stay.

    Args:
        step: optimizer steps taken so far.
        start: step at which the share is `first`.
        end: step from which it is 0.
        first: share at the start.
    """
    if step >= end:
        return 0.0
    return 0.5 * first * (1 + math.cos(math.pi * max(0, step - start) / (end - start)))
