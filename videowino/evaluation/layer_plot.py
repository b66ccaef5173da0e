"""The picture of a deployment report: milliseconds of each layer."""

from __future__ import annotations

from pathlib import Path

from videowino.deployment import DeploymentReport
from videowino.files import replacing

# Okabe & Ito's colours, told apart with any colour vision.
_WINOGRAD, _PRUNED, _OTHER, _REST = "#56B4E9", "#0072B2", "#E69F00", "#BBBBBB"


def plot_layers(report: DeploymentReport, path: str | Path) -> None:
    """Draws a bar for each layer, from the first at the top to the rest at the bottom.

    Args:
        report: What was measured.
        path: The picture; its suffix sets the format.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    names = [layer.name for layer in report.layers] + ["the rest"]
    ms = [layer.ms for layer in report.layers] + [report.rest_ms]
    colours = [_colour(layer.algorithm, layer.columns) for layer in report.layers] + [_REST]
    notes = [f"{layer.algorithm} {layer.columns}".strip() for layer in report.layers] + [""]
    height = 1.2 + 0.26 * len(names)
    figure, axes = plt.subplots(figsize=(8, height), dpi=150, layout="constrained")
    try:
        axes.barh(range(len(names)), ms, color=colours)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.invert_yaxis()
        for row, (value, note) in enumerate(zip(ms, notes)):
            axes.annotate(
                f"{value:.2f}  {note}", (value, row), (3, 0), textcoords="offset points",
                va="center", fontsize=7, color="#444444",
            )  # fmt: skip
        axes.set_xlim(0, max(ms) * 1.35)
        axes.set_xlabel(f"ms; {report.ms:.1f} in all, {report.threads} threads")
        kinds = {"Winograd": _WINOGRAD, "Winograd, pruned": _PRUNED, "others": _OTHER}
        used = {name: colour for name, colour in kinds.items() if colour in colours}
        axes.legend(handles=[Patch(color=c, label=n) for n, c in used.items()], fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        with replacing(Path(path)) as new:
            figure.savefig(new, format=Path(path).suffix[1:])
    finally:
        plt.close(figure)


def _colour(algorithm: str, columns: str) -> str:
    if not algorithm.startswith("F("):
        return _OTHER
    kept, _, whole = columns.partition("/")
    return _PRUNED if kept != whole else _WINOGRAD
