"""Writes a page: templates filled in, nothing fetched from anywhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from videowino.evaluation.comparison import Comparison
from videowino.evaluation.page.confusion import confusion, label_width
from videowino.evaluation.page.content import Page
from videowino.evaluation.page.cubes import cube_paths, cube_size
from videowino.evaluation.page.front import best, headline
from videowino.evaluation.page.layers import layer_bars
from videowino.evaluation.page.scatter import NARROW, WIDE, Scatter, scatter
from videowino.files import replacing
from videowino.report import quantity


def write_page(page: Page, path: str | Path) -> None:
    """Writes one HTML file that holds styles, script, pictures and clips.

    Args:
        page: what to show.
        path: the file; folders are made as needed.

    Raises:
        ValueError: no network has an accuracy.
    """
    comparison = page.comparison
    _save(
        path,
        "page.html.jinja",
        page=page,
        comparison=comparison,
        headline=headline(comparison),
        chosen=best(comparison).name,
        top5=any(row.accuracy and row.accuracy.video_top5 is not None for row in comparison.rows),
        trained=any(detail.config for detail in page.details.values()),
        plots=_plots(comparison),
        said=comparison.predictions,
        confusion=confusion,
        label_width=label_width,
        cube_size=cube_size,
        cube_paths=cube_paths,
        layer_bars=layer_bars,
        points=_points(comparison),
    )


def plot_svg(comparison: Comparison, path: str | Path) -> None:
    """Writes the page's plot, for the first batch size, as a picture of its own.

    Raises:
        ValueError: no network has an accuracy.
    """
    plot = scatter(comparison, comparison.batch_sizes[0])
    _save(path, "plot_alone.svg.jinja", comparison=comparison, plot=plot)


def _save(path: str | Path, template: str, **content: Any) -> None:
    text = _templates().get_template(template).render(**content)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")


def _plots(comparison: Comparison) -> dict[str, list[Scatter]]:
    """One a batch size, for each width of the reader's window."""
    frames = {"wide-plot": WIDE, "narrow-plot": NARROW}
    return {
        kind: [scatter(comparison, size, frame) for size in comparison.batch_sizes]
        for kind, frame in frames.items()
    }


def _points(comparison: Comparison) -> list[dict[str, Any]]:
    """What the script says of a network that is pointed at."""
    return [
        {
            "name": row.name,
            "accuracy": f"{row.accuracy.video_top1:.1f} % video-level, "
            f"{row.accuracy.clip_top1:.1f} % clip-level",
            "columns": "" if row.columns_kept is None else f"{100 * row.columns_kept:.0f} %",
            "speed": {
                str(speed.batch_size): f"{speed.speedup:.2f}x, {speed.ms_per_clip:.2f} ms a clip"
                for speed in row.speed
            },
        }
        for row in comparison.rows
        if row.accuracy is not None
    ]


@cache
def _templates() -> Environment:
    loader = PackageLoader("videowino.evaluation.page")
    found = Environment(
        loader=loader,
        autoescape=True,  # names of classes and files are whatever users called them
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["quantity"] = quantity
    # Ours, and no text of users: not to be escaped.
    found.globals["source"] = lambda name: Markup(loader.get_source(found, name)[0])
    return found
