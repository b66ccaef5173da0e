"""The picture of a confusion matrix."""

from __future__ import annotations

from pathlib import Path

from videowino.evaluation.confusion import Confusion

_COUNTED = 30  # classes up to which cells show their counts


def plot_confusion(confusion: Confusion, path: str | Path, title: str = "") -> None:
    """Draws rows of truth against columns of predictions, shares of each row.

    Args:
        confusion: what was counted.
        path: the picture; its suffix sets the format, folders are made as needed.
        title: above it.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names, classes = confusion.class_names, len(confusion.class_names)
    totals = (confusion.matrix.sum(1) + confusion.unreadable).clamp_min(1)
    shares = 100 * confusion.matrix / totals[:, None]
    side = min(20.0, 2.2 + max(0.16 * classes, 0.45 * min(classes, 6)))
    figure, axes = plt.subplots(figsize=(side + 0.8, side), dpi=150, layout="constrained")
    try:
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        size = 8 if classes <= _COUNTED else 5
        axes.set_xticks(range(classes), names, rotation=90 if classes > 4 else 0, fontsize=size)
        axes.set_yticks(range(classes), names, fontsize=size)
        axes.set_xlabel("predicted")
        axes.set_ylabel("truth")
        if title:
            axes.set_title(title, fontsize=10)
        if classes <= _COUNTED:
            for row, column in confusion.matrix.nonzero().tolist():
                axes.text(
                    *(column, row, str(int(confusion.matrix[row, column]))),
                    ha="center", va="center", fontsize=6 if classes > 6 else 9,
                    color="white" if shares[row, column] > 60 else "black",
                )  # fmt: skip
        figure.colorbar(image, ax=axes, shrink=0.7, label="% of the class's videos")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    finally:
        plt.close(figure)
