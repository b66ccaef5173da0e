"""`evaluate.py latency`: where a deployed network's time goes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace

from videowino.deployment import DeployedModel
from videowino.environment import describe
from videowino.evaluation.commands.options import add_import, check_output, use_threads
from videowino.evaluation.layer_plot import plot_layers
from videowino.evaluation.loaded import load_network
from videowino.evaluation.plot import picture_suffixes
from videowino.evaluation.tables import make_console
from videowino.evaluation.tuning import tuning
from videowino.files import replacing


class LatencyOfLayers:
    """A table of layers, and a picture of it."""

    help = "milliseconds of each layer of a deployed network"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""
        parser.add_argument("model", help="A deployed file, or a checkpoint, which is deployed.")
        parser.add_argument("--batch_size", type=int, default=1, help="Clips in a forward pass.")
        parser.add_argument("--repeats", type=int, default=15, help="Forward passes to time.")
        parser.add_argument("--json", type=str | None, help="Write the figures to this file.")
        parser.add_argument("--png", type=str | None, help="Draw them.")
        parser.add_argument("--threads", type=int | None, help="Threads of PyTorch.")
        add_import(parser)

    def run(self, options: Namespace) -> None:
        """Measure, print the table, write the files."""
        use_threads(options.threads)
        for name in ("batch_size", "repeats"):
            if options[name] < 1:
                raise ValueError(f"{name}={options[name]}: at least 1")
        for name, suffixes in (("json", None), ("png", picture_suffixes())):
            if options[name] is not None:
                check_output(name, options[name], suffixes)
        console = make_console()
        with tuning(console) as progress:
            found = load_network(options.model, deployed=True, progress=progress)
            assert isinstance(found.model, DeployedModel)
            clips = torch.randn(options.batch_size, *found.model.example_shape[1:])
            found.model(clips)
        report = found.model.report(clips, options.repeats)
        console.print(str(report), highlight=False)
        console.print(f"Batch {options.batch_size}; {describe()}.", soft_wrap=True)
        if options.json is not None:
            figures = report.figures | {"batch_size": options.batch_size}
            with replacing(Path(options.json)) as new:
                new.write_text(json.dumps(figures, indent=1))
            console.print(f"figures: {options.json}", soft_wrap=True)
        if options.png is not None:
            plot_layers(report, options.png)
            console.print(f"picture: {options.png}", soft_wrap=True)
