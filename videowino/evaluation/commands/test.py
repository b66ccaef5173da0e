"""`evaluate.py test`: checkpoints by the published protocols."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from videowino.evaluation.commands.options import (
    add_import,
    add_machine,
    check_output,
    choose_device,
    use_threads,
)
from videowino.evaluation.confusion import Confusion, worst_videos
from videowino.evaluation.confusion_plot import plot_confusion
from videowino.evaluation.environment import describe
from videowino.evaluation.plot import picture_suffixes
from videowino.evaluation.protocol import Tested, summarize, test_all
from videowino.evaluation.protocol_files import figures, write_predictions
from videowino.evaluation.protocol_tables import (
    class_table,
    pair_table,
    summary_table,
    tested_table,
    worst_table,
)
from videowino.evaluation.tables import make_console
from videowino.evaluation.views import parse_views


class Test:
    """Accuracy over views and splits, and what is confused with what."""

    __test__ = False  # no test class, whatever pytest makes of the name
    help = "accuracy of checkpoints over views and splits, per class, with the confusion matrix"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""
        parser.add_argument(
            "checkpoints", nargs="+", help="Checkpoints of one data set, one for each split."
        )
        parser.add_argument(
            "--views",
            type=str,
            default="10x1",
            help="Clips x crops of a video, one protocol or several, as 1x1,10x3; crops 1 "
            "(centre), 3 (along the longer side) or 10 (corners and centre, mirrored too).",
        )
        parser.add_argument("--json", type=str | None, help="Write the figures to this file.")
        parser.add_argument("--png", type=str | None, help="Draw the confusion matrix.")
        parser.add_argument(
            "--csv", type=str | None, help="Write what is predicted for each video to this file."
        )
        parser.add_argument(
            "--data",
            type=dict[str, Any],
            default={},
            help="Changes to the data settings of the checkpoints, as --data.root DIR.",
        )
        add_import(parser)
        add_machine(parser)

    def run(self, options: Namespace) -> None:
        """Test, print the tables, write the files."""
        use_threads(options.threads)
        device = choose_device(options.device)
        views = parse_views(options.views)
        for name in ("clips", "crops"):
            if name in options.data:
                raise ValueError(f"data.{name}: --views says that, as --views 10x3")
        for name, suffixes in (("json", None), ("csv", None), ("png", picture_suffixes())):
            if options[name] is not None:
                check_output(name, options[name], suffixes)
        console = make_console()
        tested, names = test_all(
            options.checkpoints, views, changes=options.data, device=device, console=console
        )
        last = [one for one in tested if one.views == views[-1]]
        confusion = Confusion.of(last, names)
        self._print(console, tested, last, confusion)
        if options.json is not None:
            with open(options.json, "w") as file:
                json.dump(figures(tested, last, confusion), file, indent=1)
            console.print(f"figures: {options.json}", soft_wrap=True)
        if options.csv is not None:
            write_predictions(last, names, options.csv)
            console.print(f"predictions: {options.csv}", soft_wrap=True)
        if options.png is not None:
            plot_confusion(confusion, options.png, _title(last))
            console.print(f"picture: {options.png}", soft_wrap=True)

    def _print(
        self, console: Console, tested: list[Tested], last: list[Tested], confusion: Confusion
    ) -> None:
        console.print(tested_table(tested))
        if len(last) > 1:
            console.print(summary_table(summarize(tested), len(last)))
        names = confusion.class_names
        if classes := confusion.per_class():
            console.print(class_table(classes))
        if pairs := confusion.pairs():
            console.print(pair_table(pairs))
        if worst := worst_videos(last, names):
            console.print(worst_table(worst))
        bad = sum(one.accuracy.unreadable for one in last)
        if bad:
            console.print(f"{bad} test videos cannot be read and count as wrong.")
        console.print(f"{describe()}.", soft_wrap=True)


def _title(tested: Sequence[Tested]) -> str:
    splits = ", ".join(str(split) for split in sorted({one.split for one in tested}))
    videos = sum(one.accuracy.videos for one in tested)
    return f"split {splits}: {videos} test videos, {tested[0].views} views"
