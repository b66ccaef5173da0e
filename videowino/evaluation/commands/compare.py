"""`evaluate.py compare`."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from videowino.evaluation.commands.options import (
    add_import,
    add_machine,
    check_output,
    choose_device,
    integers,
)
from videowino.evaluation.compare import compare
from videowino.evaluation.networks import data_of, gather
from videowino.evaluation.plot import picture_suffixes, plot_comparison
from videowino.evaluation.tables import comparison_table, layer_table, make_console


class Compare:
    """Checkpoints against their dense baseline."""

    help = "accuracy, size, multiplications and measured time of checkpoints against dense"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""
        parser.add_argument("checkpoints", nargs="+", help="Checkpoints of one backbone.")
        parser.add_argument(
            "--baseline",
            type=str | None,
            help="The dense checkpoint that speed and accuracy are compared with. Without it: the "
            "first dense one of the checkpoints, or, for the time alone, an untrained network of "
            "the same architecture.",
        )
        parser.add_argument(
            "--exact",
            action="store_true",
            help="Add the baseline swapped to Winograd convolutions, nothing trained or pruned.",
        )
        parser.add_argument(
            "--batch_sizes",
            type=integers,
            default=[1, 8],
            help="Clips in a forward pass, for the times, as 1,8.",
        )
        parser.add_argument("--layers", action="store_true", help="Time single layers as well.")
        parser.add_argument("--json", type=str | None, help="Write the figures to this file.")
        parser.add_argument("--png", type=str | None, help="Draw accuracy against speedup.")
        parser.add_argument(
            "--data",
            type=dict[str, Any],
            default={},
            help="Changes to the data settings of the checkpoint, as --data.root DIR, "
            "--data.clips 10, --data.crops 3.",
        )
        parser.add_argument(
            "--seconds", type=float, default=10.0, help="Time to spend timing, a batch size."
        )
        add_import(parser)
        add_machine(parser)

    def run(self, options: Namespace) -> None:
        """Evaluate, time, print the table, write the files."""
        device = choose_device(options.device)
        if options.threads is not None and options.threads < 1:
            raise ValueError(f"threads={options.threads}: at least 1")
        if options.seconds < 0:
            raise ValueError(f"seconds={options.seconds}: 0 or more")
        for name, suffixes in (("json", None), ("png", picture_suffixes())):
            if options[name] is not None:
                check_output(name, options[name], suffixes)
        console = make_console()
        networks = gather(options.checkpoints, options.baseline, options.exact)
        result = compare(
            networks,
            data_of(networks, **options.data),
            batch_sizes=options.batch_sizes,
            layers=options.layers,
            budget=options.seconds,
            threads=options.threads,
            device=device,
            console=console,
        )
        console.print(comparison_table(result))
        if options.layers:
            console.print(layer_table(result))
        if options.json is not None:
            result.save_json(options.json)
            console.print(f"figures: {options.json}", soft_wrap=True)
        if options.png is not None:
            plot_comparison(result, options.png)
            console.print(f"picture: {options.png}", soft_wrap=True)
