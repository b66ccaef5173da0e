"""`evaluate.py deploy`: a checkpoint as one file to run."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from videowino.deployment import DeployedModel
from videowino.evaluation.commands.options import add_import, check_output, use_threads
from videowino.evaluation.loaded import load_network
from videowino.evaluation.tables import make_console
from videowino.evaluation.tuning import tuning


class Deploy:
    """A checkpoint to a deployed file."""

    help = "turn a checkpoint into one file to run: folded, fused, without code in it"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""
        parser.add_argument("checkpoint", help="A checkpoint that train.py wrote.")
        parser.add_argument("--out", type=str, required=True, help="The file, as model.vwino.")
        parser.add_argument("--threads", type=int | None, help="Threads of PyTorch.")
        add_import(parser)

    def run(self, options: Namespace) -> None:
        """Deploy, save, and print the report."""
        use_threads(options.threads)
        check_output("out", options.out)
        console = make_console()
        found = load_network(options.checkpoint)
        with tuning(console) as progress:
            made = load_network(options.checkpoint, deployed=True, progress=progress)
        assert isinstance(made.model, DeployedModel)
        off = made.model.check(found.model)
        made.model.save(options.out)
        console.print(str(made.model.report()), highlight=False)
        size = Path(options.out).stat().st_size / 1e6
        console.print(
            f"{options.out}: {size:.1f} MB, {len(made.class_names)} classes; its outputs are "
            f"within {off:.0e} of the checkpoint's",
            soft_wrap=True,
        )
