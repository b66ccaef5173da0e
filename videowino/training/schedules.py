"""Values that follow the optimizer's steps: the learning rate and the column sparsity."""

from __future__ import annotations

import math
from collections.abc import Sequence


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
