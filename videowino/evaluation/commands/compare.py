"""`evaluate.py compare`."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from videowino.evaluation.commands.comparing import (
    add_comparison,
    check_comparison,
    make_comparison,
)
from videowino.evaluation.commands.options import check_output
from videowino.evaluation.networks import data_of, gather
from videowino.evaluation.plot import picture_suffixes, plot_comparison
from videowino.evaluation.tables import layer_table, make_console


class Compare:
    """Checkpoints against their dense baseline."""

    help = "accuracy, size, multiplications and measured time of checkpoints against dense"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""
        parser.add_argument("checkpoints", nargs="+", help="Checkpoints of one backbone.")
        parser.add_argument("--layers", action="store_true", help="Time single layers as well.")
        parser.add_argument("--json", type=str | None, help="Write the figures to this file.")
        parser.add_argument("--png", type=str | None, help="Draw accuracy against speedup.")
        add_comparison(parser)

    def run(self, options: Namespace) -> None:
        """Evaluate, time, print the table, write the files."""
        device = check_comparison(options)
        for name, suffixes in (("json", None), ("png", picture_suffixes())):
            if options[name] is not None:
                check_output(name, options[name], suffixes)
        console = make_console()
        networks = gather(options.checkpoints, options.baseline, options.exact)
        data = data_of(networks, **options.data)
        result = make_comparison(
            networks, data, options, layers=options.layers, device=device, console=console
        )
        if options.layers:
            console.print(layer_table(result))
        if options.json is not None:
            result.save_json(options.json)
            console.print(f"figures: {options.json}", soft_wrap=True)
        if options.png is not None:
            plot_comparison(result, options.png)
            console.print(f"picture: {options.png}", soft_wrap=True)
