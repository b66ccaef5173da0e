"""`evaluate.py report`: the local page of a comparison."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from videowino.evaluation.commands.comparing import (
    BATCH_SIZES,
    SECONDS,
    add_comparison,
    check_comparison,
    make_comparison,
)
from videowino.evaluation.commands.options import check_output
from videowino.evaluation.comparison import Comparison, read_comparison
from videowino.evaluation.networks import data_of, gather
from videowino.evaluation.page import gather_page, plot_svg, write_page
from videowino.evaluation.tables import make_console
from videowino.training.run_folder import CHECKPOINTS, LAST


class Report:
    """One HTML file with everything that there is to see of some runs."""

    help = "a local page: the plot, tables, layers, columns, confusions and clips of runs"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""
        parser.add_argument("runs", nargs="+", help="Run folders or checkpoints of one backbone.")
        parser.add_argument("--out", type=str, default="report.html", help="The page.")
        parser.add_argument(
            "--comparison",
            type=str | None,
            help="Figures that `evaluate.py compare --json` wrote of these runs; nothing is "
            "evaluated and timed again.",
        )
        parser.add_argument("--clips", type=int, default=8, help="Test clips to show.")
        parser.add_argument("--svg", type=str | None, help="Write the plot to this file as well.")
        add_comparison(parser)

    def run(self, options: Namespace) -> None:
        """Compare, unless that was done; write the page."""
        device = check_comparison(options)
        if options.clips < 0:
            raise ValueError(f"clips={options.clips}: 0 or more")
        check_output("out", options.out, {".html", ".htm"})
        if options.svg is not None:
            check_output("svg", options.svg, {".svg"})
        known = None
        if options.comparison is not None:
            _check_nothing_to_time(options)
            known = read_comparison(options.comparison)
        console = make_console()
        baseline = None if options.baseline is None else checkpoint_of(options.baseline)
        exact = options.exact or (known is not None and _has_exact(known))
        networks = gather([checkpoint_of(run) for run in options.runs], baseline, exact)
        data = data_of(networks, **options.data)
        comparison = known or make_comparison(
            networks, data, options, layers=True, device=device, console=console
        )
        commands = dict.fromkeys(filter(None, [comparison.command, options.command]))
        page = gather_page(comparison, networks, data, clips=options.clips, commands=[*commands])
        write_page(page, options.out)
        if options.svg is not None:
            plot_svg(comparison, options.svg)
            console.print(f"plot: {options.svg}", soft_wrap=True)
        console.print(f"page: {options.out}", soft_wrap=True)


def checkpoint_of(run: str) -> str:
    """The last checkpoint of a run folder; a file is one itself."""
    path = Path(run)
    if not path.is_dir():
        return run
    checkpoint = path / CHECKPOINTS / f"{LAST}.ckpt"
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"runs={run}: there is no {checkpoint}, which a training writes after its first epoch; "
            "give the folder of one, or a checkpoint"
        )
    return str(checkpoint)


def _check_nothing_to_time(options: Namespace) -> None:
    usual = {"batch_sizes": BATCH_SIZES, "seconds": SECONDS, "threads": None, "device": "auto"}
    for name, value in usual.items():
        if options[name] != value:
            given = ",".join(map(str, options[name])) if name == "batch_sizes" else options[name]
            raise ValueError(
                f"{name}={given}: nothing is timed where figures are given, as "
                f"{options.comparison}; leave one of them out"
            )


def _has_exact(comparison: Comparison) -> bool:
    return any(row.kind == "exact" for row in comparison.rows)
