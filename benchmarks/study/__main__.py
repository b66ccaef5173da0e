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

from benchmarks.once import digest, measured_once
from benchmarks.results_table import around, write_between
from benchmarks.study.cost import compared, training_cost
from benchmarks.study.grid import Study, plain, read_study
from benchmarks.study.measure import measure
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
    costs = _costs(runs, rows[0]["clip_shape"])
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
    study = runs.study
    cells = [DENSE, *study.cells]
    said = json.dumps([study.part, study.data, str(study.root), [*map(plain, cells)]])
    of = digest([runs.checkpoint(place, cell) for cell in cells], said)
    file = runs.folder(place, DENSE).parent / "rows.json"
    return measured_once(file, of, lambda: measure(runs, place, console))


def _costs(runs: Runs, clip_shape: list[int]) -> dict[str, Any]:
    cells = compared(runs.study.cells)
    files = [runs.checkpoint(runs.study.places[0], cell) for cell in cells]

    def measured() -> dict[str, Any]:
        return {
            cell.title: {"pruned": cell.sparsity, **training_cost(file, 16, clip_shape)}
            for cell, file in zip(cells, files)
        }

    return measured_once(runs.out / "costs.json", digest(files), measured)


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.study", description=__doc__)
    parser.add_argument(
        "--config",
        type=Path,
        nargs="+",
        required=True,
        help="As configs/study/*.yaml; several are run one after another.",
    )
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
    for name in ("root", "out"):
        one = getattr(given, name) is None or len(given.config) == 1
        require(one, f"{name}={getattr(given, name)}: is that of one study; give one config")
    root = given.root and given.root.absolute()
    studies = [read_study(config.absolute(), root) for config in given.config]
    for study in studies:
        out = given.out or Path("runs/study") / study.name
        run_study(study, out.absolute(), jobs=given.jobs, docs=given.docs)


if __name__ == "__main__":
    run_main(main)
