"""A study, rerun or gone on with: ``python -m benchmarks.study --config configs/study/NAME.yaml``.

Trains every cell of the configuration from one dense network a split and seed, each by a command
of ``train.py``; then measures accuracy and the deployed networks' time, and writes one file of
results, a table and a picture. What is there already is not done again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.results_table import around, write_between
from benchmarks.study.cost import training_cost
from benchmarks.study.grid import Cell, Study, read_study
from benchmarks.study.measure import measure, rows_file
from benchmarks.study.picture import draw
from benchmarks.study.summary import points
from benchmarks.study.table import caption, cost_table, curve_table
from benchmarks.study.training import DENSE, Runs, train_all
from videowino.cli import require
from videowino.cli import run as run_main


def run_study(
    study: Study,
    out: Path,
    *,
    jobs: int,
    docs: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Run what is not there yet; what is written to results.json.

    Args:
        study: what to run.
        out: folder for runs and results.
        jobs: trainings at a time, which share the cores.
        docs: document with the marks <!-- study NAME --> and <!-- /study NAME -->.
        console: for progress and tables.
    """
    mark = f"study {study.name}"
    if docs is not None:
        around(docs, mark)  # before hours of training, not after
    console = console or Console()
    runs = Runs(study, out)
    cores = os.cpu_count() or 1
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(study.name, total=(len(study.cells) + 1) * len(study.places))

        def done(what: str) -> None:
            bar.advance(task)
            bar.console.print(what)

        train_all(runs, jobs, cores, done)
        rows = []
        for place in study.places:  # one at a time: these time the networks
            rows += _rows(runs, place, bar.console)
    costs = _costs(runs, rows)
    found = points(rows)
    result = {"study": study.name, "rows": rows, "costs": costs, "points": [*map(asdict, found)]}
    (out / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    picture = out / "curves.png"
    draw(found, picture, f"{study.name}: mean and spread over {found[0].rows} runs")
    text = f"{curve_table(found)}\n\n{caption(rows)}\n\n{cost_table(costs)}"
    (out / "results.md").write_text(text + "\n")
    console.print(Markdown(text))
    if docs is not None:
        shown = docs.parent / "images" / f"study_{study.name}.png"
        draw(found, shown, f"{study.name}: mean and spread over {found[0].rows} runs")
        link = f"![Accuracy against deployed speedup](images/{shown.name})"
        write_between(docs, mark, f"{link}\n\n{text}")
    return result


def _rows(runs: Runs, place: tuple[int, int], console: Console) -> list[dict[str, Any]]:
    file = rows_file(runs, place)
    names = [DENSE.name, *(cell.name for cell in runs.study.cells)]
    if file.exists():
        rows = json.loads(file.read_text())
        if [row["cell"]["name"] for row in rows][: len(names)] == names:
            return rows
    rows = measure(runs, place, console)
    file.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def _costs(runs: Runs, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one network of each title and sparsity 0 or the least there is."""
    file = runs.out / "costs.json"
    chosen: dict[str, Cell] = {}
    for cell in sorted(runs.study.cells, key=lambda cell: cell.sparsity):
        if cell.method != "filters" and not cell.label:
            chosen.setdefault(cell.title, cell)
    known = json.loads(file.read_text()) if file.exists() else {}
    if list(known) != list(chosen):
        place = runs.study.places[0]
        known = {
            title: training_cost(runs.checkpoint(place, cell), 16, rows[0]["clip_shape"])
            for title, cell in chosen.items()
        }
        file.write_text(json.dumps(known, indent=1) + "\n")
    return known


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.study", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="As configs/study/*.yaml.")
    parser.add_argument("--root", type=Path | None, help="Folder of the data set.")
    parser.add_argument("--out", type=Path | None, help="Runs and results; runs/study/NAME.")
    parser.add_argument("--jobs", type=int, default=2, help="Trainings at a time.")
    parser.add_argument("--docs", type=Path | None, help="Document to write the tables into.")
    given = parser.parse_args(args)
    require(given.jobs >= 1, f"jobs={given.jobs}: at least 1")
    for name in ("root", "docs"):
        path = getattr(given, name)
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{name}={path}: no such file or folder")
    study = read_study(given.config.absolute(), given.root and given.root.absolute())
    out = given.out or Path("runs/study") / study.name
    run_study(study, out.absolute(), jobs=given.jobs, docs=given.docs)


if __name__ == "__main__":
    run_main(main)
