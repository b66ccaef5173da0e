"""`evaluate.py test`: accuracy by the published protocols, over splits, and where it goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from videowino.environment import describe
from videowino.evaluation.commands.options import (
    add_import,
    add_machine,
    check_output,
    choose_device,
    use_threads,
)
from videowino.evaluation.plot import picture_suffixes
from videowino.evaluation.protocol_report import ProtocolReport, report
from videowino.evaluation.protocol_run import ProtocolRun, run_protocols
from videowino.evaluation.protocol_tables import protocol_tables
from videowino.evaluation.protocols import AVERAGES, Protocol, parse_protocols
from videowino.evaluation.subjects import Subject, load_subjects
from videowino.evaluation.tables import make_console
from videowino.evaluation.tuning import tuning
from videowino.evaluation.video_rows import worst, write_csv
from videowino.plots.confusion import plot_confusion

_BATCH = 16


class ByProtocol:
    """Networks, one a split, on their test lists."""

    help = "accuracy over clips, crops and splits; classes, confusions, worst videos, throughput"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""
        parser.add_argument(
            "models",
            nargs="+",
            help="Checkpoints or deployed files, one a split; each is tested on the split that it "
            "was trained on.",
        )
        parser.add_argument("--clips", type=int | None, help="Clips of a video.")
        parser.add_argument(
            "--crops",
            type=int | None,
            help="Crops of a clip: 1 (centre), 3 (along the longer side), 10 (corners and centre, "
            "mirrored as well). Without these, the views are the checkpoint's own.",
        )
        parser.add_argument(
            "--views",
            type=str | None,
            help="Several protocols side by side, clips x crops, decoded once: 1x1,10x1,10x3; with "
            "an m for crops mirrored as well, as 3x1m.",
        )
        parser.add_argument(
            "--average",
            type=str,
            default="probabilities",
            help="What a video's views are averaged by: probabilities or logits.",
        )
        parser.add_argument("--batch_size", type=int | None, help="Clips in a forward pass.")
        parser.add_argument("--rows", type=int, default=15, help="Of each table, at most.")
        parser.add_argument("--json", type=str | None, help="Write the figures to this file.")
        parser.add_argument("--csv", type=str | None, help="Write every video's prediction.")
        parser.add_argument("--png", type=str | None, help="Draw the confusion matrix.")
        parser.add_argument(
            "--data",
            type=dict[str, Any],
            default={},
            help="Changes to the data settings of the checkpoints, as --data.root DIR, "
            "--data.split 2, --data.class_path VideoShards; what a deployed file is tested on.",
        )
        add_import(parser)
        add_machine(parser)

    def run(self, options: Namespace) -> None:
        """Test, print the tables, write the files."""
        use_threads(options.threads)
        device = choose_device(options.device)
        _check(options)
        protocols = None if options.views is None else parse_protocols(options.views)
        for name, suffixes in (("json", None), ("csv", None), ("png", picture_suffixes())):
            if options[name] is not None:
                check_output(name, options[name], suffixes)
        console = make_console()
        settings = dict(options.data)
        if protocols is not None:
            # Of no effect but that data with classes that mirroring changes refuse it.
            mirrored = any(protocol.mirror or protocol.crops == 10 for protocol in protocols)
            settings |= {"clips": 1, "crops": 1, "mirror": mirrored}
        else:
            given = {"clips": options.clips, "crops": options.crops}
            settings |= {name: value for name, value in given.items() if value is not None}
            if options.crops == 10:
                settings.setdefault("mirror", False)  # ten crops are
        with tuning(console) as progress:
            subjects = load_subjects(options.models, settings, progress)
        protocols = protocols or [_own_protocol(subjects)]
        runs = []
        with _progress(console, subjects) as advance:
            for subject in subjects:
                deployed = subject.batch_size is not None
                on = choose_device("cpu") if deployed and options.device == "auto" else device
                runs.append(_run(subject, protocols, options, on, partial(advance, subject)))
        found = report(subjects, runs, protocols, options.average, describe(device))
        _show(console, found, options)


def _check(options: Namespace) -> None:
    if options.views is not None and (options.clips is not None or options.crops is not None):
        raise ValueError("views: says clips and crops itself; leave out --clips and --crops")
    if options.average not in AVERAGES:
        raise ValueError(f"average={options.average}: one of {', '.join(AVERAGES)}")
    for name in ("batch_size", "rows"):
        if options[name] is not None and options[name] < 1:
            raise ValueError(f"{name}={options[name]}: at least 1")
    for name in ("clips", "crops", "mirror"):
        if options.views is not None and name in options.data:
            raise ValueError(f"data.{name}: views says it; leave out one of the two")


def _own_protocol(subjects: list[Subject]) -> Protocol:
    """The views that the data of all subjects are set to.

    Raises:
        ValueError: they are not the same.
    """
    own = [
        Protocol(s.data.hparams["clips"], s.data.hparams["crops"], s.data.hparams["mirror"])
        for s in subjects
    ]
    for subject, protocol in zip(subjects, own):
        if protocol != own[0]:
            raise ValueError(
                f"{subject.path}: is set to {protocol.name} views and {subjects[0].path} to "
                f"{own[0].name}; give --views"
            )
    return own[0]


@contextmanager
def _progress(
    console: Console, subjects: list[Subject]
) -> Iterator[Callable[[Subject, int], object]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    totals = [len(subject.data.videos("test")) for subject in subjects]
    if not console.is_terminal:
        console.print(f"testing {len(subjects)} networks on {sum(totals)} videos")
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        tasks = {
            subject.path: bar.add_task(
                f"{subject.name}, split {subject.split}", total=total, start=False
            )
            for subject, total in zip(subjects, totals)
        }

        def advance(subject: Subject, done: int) -> None:
            bar.start_task(tasks[subject.path])
            bar.advance(tasks[subject.path], done)

        yield advance


def _run(
    subject: Subject,
    protocols: list[Protocol],
    options: Namespace,
    device: Any,
    progress: Callable[[int], object],
) -> ProtocolRun:
    own = subject.batch_size
    try:
        return run_protocols(
            subject.model.to(device),
            subject.data,
            protocols,
            average=options.average,
            batch_size=options.batch_size or own or _BATCH,
            same_size=own is not None,
            device=device,
            progress=progress,
        )
    except ValueError as error:
        text = str(error)
        raise ValueError(text if subject.path in text else f"{subject.path}: {text}") from None


def _show(console: Console, found: ProtocolReport, options: Namespace) -> None:
    worst_videos = worst(found.videos)[: options.rows]
    console.print(protocol_tables(found, worst_videos, options.rows))
    if options.json is not None:
        found.save_json(options.json, worst_videos)
        console.print(f"figures: {options.json}", soft_wrap=True)
    if options.csv is not None:
        write_csv(found.videos, found.class_names, options.csv)
        console.print(f"predictions: {options.csv}", soft_wrap=True)
    if options.png is not None:
        plot_confusion(found.confusion, found.class_names, options.png, _title(found))
        console.print(f"picture: {options.png}", soft_wrap=True)


def _title(found: ProtocolReport) -> str:
    """Which videos the matrix is of."""
    first = found.splits[0]
    numbers = [str(split.data.split) for split in found.splits if split.data.split is not None]
    splits = f", split{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}" if numbers else ""
    return (
        f"{first.network}, {first.data.name} {first.data.root.rstrip('/').rpartition('/')[2]}"
        f"{splits}: {len(found.videos)} test videos, {found.detailed} views"
    )
