"""Accuracy of pruned networks over splits: ``python -m benchmarks.results --help``.

For each split: a dense network, and from it one with half and one with a quarter of the columns,
fine-tuned; then ``evaluate.py compare`` on all of them. Over the splits of a mean: ``evaluate.py
test`` of each network in one view of a video and in ten, and the dense one's confusion matrix.

Every step is a command that can be run by hand, and is skipped where its outcome is there, so a
stopped study goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.once import once, stopping
from benchmarks.results_table import (
    DENSE,
    LOW_RANK,
    VANILLA,
    Run,
    around,
    caption,
    collect,
    table,
    write_between,
)
from benchmarks.results_views import VIEWS, confusion_lines, copy_picture, views_table
from videowino.cli import run as run_main


@dataclass(frozen=True)
class Study:
    """One data set's runs.

    Attributes:
        config: configuration of the dense run.
        prune: overlay for the pruned ones.
        root: folder of the data set.
        out: folder for runs and figures.
        pruned: the pruned runs.
    """

    config: Path
    prune: Path
    root: Path
    out: Path
    pruned: Sequence[Run] = tuple(LOW_RANK)

    def folder(self, split: int, run: Run) -> Path:
        """Where a run lies."""
        return self.out / f"split{split}" / run.folder

    def checkpoint(self, split: int, run: Run) -> Path:
        """A run's last checkpoint."""
        return self.folder(split, run) / "checkpoints" / "last.ckpt"

    def training(self, split: int, run: Run) -> list[str]:
        """The command that trains a network, or goes on with it; the dense one comes first."""
        command = ["train.py", "fit", "--config", str(self.config)]
        if run.sparsity is not None:
            command += ["--config", str(self.prune), "--sparsity", str(run.sparsity)]
            command += ["--model.winograd.parameterization", run.parameterization]
            command += ["--model.weights", str(self.checkpoint(split, DENSE))]
        command += [f"--data.root={self.root}", f"--data.split={split}"]
        return [*command, "--run", str(self.folder(split, run)), "--ckpt_path", "last"]

    def comparison(self, split: int) -> list[str]:
        """The command that evaluates a split's networks."""
        folder = self.out / f"split{split}"
        command = ["evaluate.py", "compare"]
        command += [str(self.checkpoint(split, run)) for run in self.pruned]
        command += ["--baseline", str(self.checkpoint(split, DENSE)), "--exact"]
        command += ["--json", str(folder / "compare.json"), "--png", str(folder / "compare.png")]
        return [*command, f"--data.root={self.root}"]

    def views(self, group: Sequence[int], run: Run) -> list[str]:
        """The command that tests one network in one view and in ten, over the splits of a mean."""
        command = ["evaluate.py", "test"]
        command += [str(self.checkpoint(split, run)) for split in group]
        command += ["--views", VIEWS, "--json", str(self._views_folder(group, run) / "views.json")]
        if run.sparsity is None:
            command += ["--png", str(self.confusion(group))]
        return [*command, f"--data.root={self.root}"]

    def confusion(self, group: Sequence[int]) -> Path:
        """The picture of the dense networks' confusion matrix."""
        return self._views_folder(group, DENSE) / "confusion.png"

    def _views_folder(self, group: Sequence[int], run: Run) -> Path:
        return self.out / f"views{'_'.join(map(str, group))}" / run.folder

    def view(self, group: Sequence[int], run: Run, threads: int) -> dict[str, Any]:
        """Test in several views, unless that is done; what `test --json` writes."""
        folder = self._views_folder(group, run)
        trained = [self.checkpoint(split, run) for split in group]
        once(
            folder / "viewed", self.views(group, run), configs=trained, again=True, threads=threads
        )
        return json.loads((folder / "views.json").read_text())

    def train(self, split: int, run: Run, threads: int) -> None:
        """Train one network, unless that is done."""
        configs = [self.config] if run.sparsity is None else [self.config, self.prune]
        once(
            self.folder(split, run) / "finished",
            self.training(split, run),
            configs=configs,
            threads=threads,
        )

    def evaluate(self, split: int, threads: int) -> dict[str, Any]:
        """Compare a split's networks, unless that is done; what `compare --json` writes."""
        folder = self.out / f"split{split}"
        trained = [self.checkpoint(split, run) for run in (DENSE, *self.pruned)]
        once(
            folder / "evaluated",
            self.comparison(split),
            configs=trained,
            again=True,
            threads=threads,
        )
        return json.loads((folder / "compare.json").read_text())


def split_groups(text: str) -> list[list[int]]:
    """1,2,3+4 as [[1, 2, 3], [4]]."""
    return [[int(split) for split in group.strip("[] ").split(",")] for group in text.split("+")]


def study(
    study: Study,
    groups: Sequence[Sequence[int]],
    *,
    jobs: int = 2,
    docs: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Run what is not there yet, print the table, write it into `docs`.

    Args:
        study: what to run.
        groups: numbers of the split lists; a mean is taken within each group.
        jobs: trainings at a time, which share the cores.
        docs: document with the marks <!-- NAME --> and <!-- /NAME -->, NAME being the config's.
        console: for progress and table.

    Returns:
        What is written to results.json.
    """
    if docs is not None:
        around(docs, study.config.stem)  # before hours of training, not after
    console = console or Console()
    splits = [split for group in groups for split in group]
    runs = [DENSE, *study.pruned]
    cores = os.cpu_count() or 1
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        steps = (len(runs) + 1) * len(splits) + len(groups) * len(runs)
        task = bar.add_task(study.config.stem, total=steps)

        def step(what: str) -> None:
            bar.advance(task)
            bar.console.print(f"{study.config.stem}: {what}")

        def train(split: int) -> None:
            for run in runs:
                study.train(split, run, max(1, cores // jobs))
                step(f"split {split}, {run.title}: trained")

        with ThreadPoolExecutor(jobs) as pool, stopping():
            list(pool.map(train, splits))
        figures = {}
        for split in splits:  # one at a time: these time the networks
            figures[split] = study.evaluate(split, cores)
            step(f"split {split}: evaluated")
        viewed = []
        for group in groups:
            found = {}
            for run in runs:
                found[run.folder] = study.view(group, run, cores)
                step(f"splits {group}, {run.title}: tested in {VIEWS} views")
            viewed.append(found)
    collected = collect(figures, runs)
    result = {
        "groups": [list(group) for group in groups],
        "figures": collected,
        "data": {split: figures[split]["data"] for split in splits},
        "environment": figures[splits[0]]["environment"],
        "views": [{name: one["mean"] for name, one in found.items()} for found in viewed],
    }
    (study.out / "results.json").write_text(json.dumps(result, indent=2) + "\n")
    text = f"{table(collected, groups, runs)}\n\n{caption(figures)}"
    pictures = [study.confusion(group) for group in groups]
    if docs is not None:
        pictures = [copy_picture(p, docs, study.config.stem, i) for i, p in enumerate(pictures)]
    for group, found, picture in zip(groups, viewed, pictures):
        text += f"\n\n{views_table(found, group, runs)}\n\n{confusion_lines(found, group, picture)}"
    (study.out / "results.md").write_text(f"{text}\n")
    console.print(Markdown(text))
    if docs is not None:
        write_between(docs, study.config.stem, text)
    return result


def main(args: list[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="benchmarks.results", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="Of the dense runs.")
    parser.add_argument("--root", type=Path, required=True, help="Folder of the data set.")
    parser.add_argument("--out", type=Path, required=True, help="Folder for runs and figures.")
    parser.add_argument(
        "--splits", type=str, required=True, help="As 1,2,3; 1,2,3+4 takes no mean over the 4."
    )
    parser.add_argument(
        "--prune", type=Path, default=Path("configs/results/prune.yaml"), help="Of the pruned runs."
    )
    parser.add_argument("--vanilla", action="store_true", help="Prune in vanilla as well.")
    parser.add_argument("--jobs", type=int, default=2, help="Trainings at a time.")
    parser.add_argument(
        "--docs", type=Path | None, help="Document to write the table into, between its marks."
    )
    given = parser.parse_args(args)
    try:
        groups = split_groups(given.splits)
    except ValueError:
        raise ValueError(f"splits={given.splits}: give numbers, as 1,2,3 or 1,2,3+4") from None
    for name in ("config", "prune", "root", "docs"):
        path = getattr(given, name)
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{name}={path}: no such file or folder")
    if given.jobs < 1:
        raise ValueError(f"jobs={given.jobs}: at least 1")
    runs = Study(
        config=given.config.absolute(),
        prune=given.prune.absolute(),
        root=given.root.absolute(),
        out=given.out.absolute(),
        pruned=[*LOW_RANK, *(VANILLA if given.vanilla else [])],
    )
    study(runs, groups, jobs=given.jobs, docs=given.docs)


if __name__ == "__main__":
    run_main(main)
