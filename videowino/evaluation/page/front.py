"""Which networks nothing beats, and the sentence that says what the best of them does."""

from __future__ import annotations

from collections.abc import Sequence

from videowino.evaluation.comparison import Comparison, Row

_LITTLE = 1.0  # points: what most would give for speed


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other is at least as good as in both, by ascending x.

    Args:
        points: (speedup, accuracy), more is better.
    """
    order = sorted(range(len(points)), key=lambda i: points[i], reverse=True)
    front: list[int] = []
    for index in order:
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front[::-1]


def best(comparison: Comparison) -> Row:
    """The fastest network that loses at most a point, or else the one that loses least.

    The most accurate one where the baseline has no accuracy, and the baseline where there is no
    other with one.
    """
    baseline, *others = comparison.rows
    right = {row.name: row.accuracy.video_top1 for row in others if row.accuracy is not None}
    rivals = [row for row in others if row.name in right]
    if baseline.accuracy is not None:
        least = baseline.accuracy.video_top1 - _LITTLE
        if little := [row for row in rivals if right[row.name] >= least]:
            return max(little, key=lambda row: row.speed[0].speedup)
    return max(rivals, key=lambda row: right[row.name], default=baseline)


def headline(comparison: Comparison) -> str:
    """What the best network gains and loses, in a sentence."""
    baseline, row = comparison.rows[0], best(comparison)
    if row.accuracy is None:
        return f"{len(comparison.rows)} networks; none has an accuracy."
    if baseline.accuracy is None:
        return (
            f"{row.name} is {row.speed[0].speedup:.2f} times as fast as {baseline.name}: "
            f"{row.accuracy.video_top1:.1f} % of the test videos right."
        )
    reference, accuracy = baseline.accuracy.video_top1, row.accuracy.video_top1
    if row is baseline:
        return f"{baseline.name}: {reference:.1f} % of the test videos are put in the right class."
    points = round(reference - accuracy, 1)
    change = f"loses {points:.1f} points" if points > 0 else f"gains {-points:.1f} points"
    change = "loses nothing" if points == 0 else change
    return (
        f"{row.name} is {row.speed[0].speedup:.2f} times as fast as {baseline.name} and {change}: "
        f"{accuracy:.1f} % against {reference:.1f} % of the test videos right."
    )
