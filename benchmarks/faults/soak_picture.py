"""A soak's memory and open files against time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.faults.vitals import Vitals


def draw(lives: Sequence[Sequence[Vitals]], path: Path) -> None:
    """Saves the picture: a line a life.

    Args:
        lives: what each held, second by second.
        path: its suffix sets the format.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (memory, handles) = plt.subplots(
        2, 1, figsize=(8, 4), dpi=150, sharex=True, layout="constrained"
    )
    for number, course in enumerate(lives):
        minutes = [seen.seconds / 60 for seen in course]
        colour = "#1f77b4" if number % 2 == 0 else "#7fb2d9"
        memory.plot(minutes, [seen.megabytes for seen in course], color=colour, lw=1)
        handles.plot(minutes, [seen.handles for seen in course], color=colour, lw=1)
    memory.set_ylabel("memory, MB")
    handles.set_ylabel("open files")
    handles.set_xlabel("minutes; each line is from a start to an end")
    for axes in (memory, handles):
        axes.set_ylim(0, None)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
