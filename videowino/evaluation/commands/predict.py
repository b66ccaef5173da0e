"""`evaluate.py predict`: what a network sees in videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from videowino.deployment import DeployedModel
from videowino.evaluation.commands.options import (
    add_import,
    add_machine,
    check_output,
    choose_device,
    use_threads,
)
from videowino.evaluation.loaded import Loaded, load_network
from videowino.evaluation.predict import Predictor, VideoPrediction, find_videos
from videowino.evaluation.tables import make_console
from videowino.evaluation.timeline import prediction_table
from videowino.evaluation.tuning import tuning
from videowino.files import replacing

_TOP = 5
_BATCH = 8  # of a checkpoint's network, which is measured for nothing


class Predict:
    """Videos to class probabilities."""

    help = "the most probable classes of videos, window by window"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options to the subcommand's parser."""
        parser.add_argument("model", help="A deployed file, or a checkpoint.")
        parser.add_argument("videos", nargs="+", help="Files, or folders of them.")
        parser.add_argument(
            "--window",
            type=float | None,
            help="Seconds of a window; as long as a clip of the network if not given.",
        )
        parser.add_argument("--batch_size", type=int | None, help="Clips in a forward pass.")
        parser.add_argument("--json", type=str | None, help="Write the predictions to this file.")
        add_import(parser)
        add_machine(parser)

    def run(self, options: Namespace) -> None:
        """Predict, print, write the file.

        Raises:
            ValueError: Some video could not be read; the others have been dealt with.
        """
        use_threads(options.threads)
        device = choose_device(options.device)
        if options.batch_size is not None and options.batch_size < 1:
            raise ValueError(f"batch_size={options.batch_size}: at least 1")
        if options.json is not None:
            check_output("json", options.json)
        console = make_console()
        paths, others = find_videos(options.videos)
        with tuning(console) as progress:
            found = load_network(options.model, progress=progress)
        batch = options.batch_size or _BATCH
        if isinstance(found.model, DeployedModel):
            batch = options.batch_size or found.model.example_shape[0]
            if options.device == "auto":
                device = choose_device("cpu")  # what it was tuned for
        predictor = Predictor(
            found.model.to(device).eval(),
            found.preprocessing,
            window=options.window,
            batch=batch,
            device=device,
        )
        if others:
            console.print(f"left out, no videos by their names: {_some(others)}", soft_wrap=True)
        results: list[dict[str, Any]] = []
        failed = 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            every = bar.add_task("videos", total=len(paths))
            one = bar.add_task("windows", total=None)
            for path in paths:
                bar.reset(one, total=None)
                try:
                    prediction = predictor.predict(
                        path, lambda done, of: bar.update(one, completed=done, total=of)
                    )
                except (ValueError, FileNotFoundError) as error:
                    failed += 1
                    results.append({"video": str(path), "error": str(error)})
                    bar.console.print(f"[red]cannot be used:[/red] {error}", soft_wrap=True)
                else:
                    results.append(_figures(prediction, found))
                    bar.console.print(prediction_table(prediction, found.class_names, _TOP))
                bar.advance(every)
        if options.json is not None:
            with replacing(Path(options.json)) as new:
                new.write_text(json.dumps(results, indent=1) + "\n")
            console.print(f"predictions: {options.json}", soft_wrap=True)
        if failed:
            raise ValueError(f"{failed} of {len(paths)} videos could not be used (named above)")


def _figures(prediction: VideoPrediction, network: Loaded) -> dict[str, Any]:
    names = network.class_names
    return {
        "video": str(prediction.path),
        "seconds": round(prediction.seconds, 3),
        "note": prediction.note,
        "top": top(prediction.probabilities, names),
        "windows": [
            {
                "start": round(window.start, 3),
                "end": round(window.end, 3),
                "top": top(window.probabilities, names),
            }
            for window in prediction.windows
        ],
    }


def top(probabilities: Tensor, names: list[str]) -> list[dict[str, Any]]:
    """The most probable classes, best first."""
    best = probabilities.topk(min(_TOP, len(names)))
    return [
        {"class": names[label], "probability": round(value, 6)}
        for value, label in zip(best.values.tolist(), best.indices.tolist())
    ]


def _some(paths: list[Path]) -> str:
    shown = ", ".join(str(path) for path in paths[:3])
    return shown + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
