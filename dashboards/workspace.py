"""The dashboard of a project on Weights & Biases: ``python dashboards/workspace.py --entity ME``.

Sends a saved view: accuracy against speedup over runs with the Pareto front, and the curves,
columns and predictions of each. ``--print`` shows it as JSON and sends nothing.
"""

from __future__ import annotations

import json
from typing import Any

from videowino.cli import run


def build(entity: str, project: str) -> Any:
    """The workspace.

    Args:
        entity: a user or team.
        project: of theirs.
    """
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as workspaces

    accuracy = panels.SummaryMetric("final/video_top1")
    summary = [
        # Of the times, so that the running maximum is the Pareto front: nothing that is as fast or
        # faster is as accurate.
        panels.ScatterPlot(
            title="Accuracy against time a clip; line: Pareto front",
            x=panels.SummaryMetric("speedup/ms"),
            y=accuracy,
            z=panels.SummaryMetric("columns/sparsity"),
            running_ymax=True,
        ),
        panels.ScatterPlot(
            title="Accuracy against measured speedup",
            x=panels.SummaryMetric("speedup/network"),
            y=accuracy,
            z=panels.SummaryMetric("columns/sparsity"),
        ),
        panels.ParallelCoordinatesPlot(
            title="Rank, sparsity, speed and accuracy",
            columns=[
                panels.ParallelCoordinatesPlotColumn(metric=metric)
                for metric in (
                    panels.Config("winograd.rank"),
                    panels.SummaryMetric("columns/sparsity"),
                    panels.SummaryMetric("speedup/network"),
                    accuracy,
                )
            ],
        ),
    ]
    curves = [
        _lines("Video-level and clip-level top-1", ["val/video_top1", "val/clip_top1"]),
        _lines("Loss", ["train/loss", "val/loss"]),
        _lines("Column sparsity", ["columns/sparsity"]),
        _lines("Measured speedup", ["speedup/network"]),
    ]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name="videowino",
        sections=[
            workspaces.Section(name="Accuracy and speed", panels=summary, is_open=True),
            workspaces.Section(name="Training", panels=curves, is_open=True),
            workspaces.Section(
                name="Columns",
                panels=[panels.MediaBrowser(title="Columns kept", media_keys=["columns/*"])],
            ),
            workspaces.Section(
                name="Predictions",
                panels=[panels.MediaBrowser(media_keys=["val/confusion", "val/clips"])],
            ),
        ],
    )


def _lines(title: str, metrics: list[str]) -> Any:
    import wandb_workspaces.reports.v2 as panels

    return panels.LinePlot(title=title, x="trainer/global_step", y=metrics)


def main(args: list[str] | None = None) -> None:
    """The command line."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog="dashboards/workspace.py", description=__doc__)
    parser.add_argument("--entity", type=str, required=True, help="A user or team.")
    parser.add_argument("--project", type=str, default="videowino", help="A project of theirs.")
    parser.add_argument("--print", action="store_true", help="Show it and send nothing.")
    given = parser.parse_args(args)
    try:
        workspace = build(given.entity, given.project)
    except ImportError:
        raise ValueError(
            'the dashboard needs wandb-workspaces; `pip install ".[wandb]"` brings it'
        ) from None
    if given.print:
        print(json.dumps(workspace._to_model().model_dump(mode="json", by_alias=True), indent=1))
    else:
        print(workspace.save().url)


if __name__ == "__main__":
    run(main)
