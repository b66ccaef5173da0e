"""Checkpoints against their dense baseline: accuracy, size, multiplications, measured time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from videowino.data import VideoDataModule
from videowino.deployment import deploy
from videowino.environment import describe
from videowino.evaluation.accuracy import Accuracy, evaluate
from videowino.evaluation.comparison import (
    AccuracyFigures,
    Comparison,
    LayerSpeed,
    Row,
    Speed,
    TestData,
    VideoPredictions,
)
from videowino.evaluation.latency import Latency, measure
from videowino.evaluation.networks import Network, unfinished
from videowino.fastest import in_fastest_form
from videowino.report import count
from videowino.timing import using_threads
from videowino.winograd import column_sparsity, winograd_layers

_FORM_SHARE = 0.05  # of the time to spend timing: what is spent on the baseline's choice of form
_TUNE = 0.05  # seconds for each geometry of a network to deploy
DEPLOYED = "deployed"
UNSTEADY = 0.25  # inter-quartile range over median from which a time is not to be relied on
REFERENCE_NOTE = (
    "Winograd layers ran the plain-PyTorch reference (weights made beforehand), which is not built "
    "for speed: here there is no kernel for them. A speedup below 1 is what this machine measured; "
    "multiplications show what is there to gain."
)


def compare(
    networks: Sequence[Network],
    data: VideoDataModule,
    *,
    batch_sizes: Sequence[int] = (1, 8),
    layers: bool = False,
    budget: float = 10.0,
    threads: int | None = None,
    device: torch.device | str = "cpu",
    console: Console | None = None,
) -> Comparison:
    """Evaluates and times networks side by side.

    All see the same clips, decoded once. Times are medians of forward passes taken in turns: of the
    baseline in the form that PyTorch runs fastest at the batch size (see `in_fastest_form`), of the
    others deployed (see `videowino.deploy`).

    Args:
        networks: the dense baseline first, see `gather`.
        data: set up for "test", see `data_of`.
        batch_sizes: clips a forward pass, for the times.
        layers: time the swapped layers one by one too.
        budget: seconds to time at each batch size, all networks together.
        threads: torch's intra-op threads while timing; None keeps the present number.
        device: where the networks run.
        console: shows progress; None shows none.

    Raises:
        ValueError: no test videos, outputs that are not finite, or a batch size below 1.
    """
    if bad := [size for size in batch_sizes if size < 1]:
        raise ValueError(f"batch_sizes: {bad[0]} is no batch size, give 1 or more")
    if len(set(batch_sizes)) < len(batch_sizes):
        raise ValueError(f"batch_sizes={','.join(map(str, batch_sizes))}: give each once")
    for network in networks:
        network.model.to(device).eval()
    accuracies, clip, views = _accuracies(networks, data, device, console)
    names = _swapped_layers(networks) if layers else []
    clip = clip.to(device).contiguous()
    baseline = networks[0]
    with _status(console, f"deploying {len(networks) - 1} networks"), using_threads(threads):
        deployed = {n.name: deploy(n.model, clip[None], budget=_TUNE) for n in networks[1:]}
        off = [deployed[n.name].check(n.model, [clip[None]]) for n in networks[1:]]
    latencies, forms = [], []
    for size in batch_sizes:
        with _status(console, f"finding the baseline's fastest form, batch {size}"):
            batch = clip.expand(size, *clip.shape).contiguous()
            share = budget * _FORM_SHARE
            dense, form = in_fastest_form(baseline.model, batch, budget=share, threads=threads)
        forms.append({n.name: DEPLOYED for n in networks} | {baseline.name: form})
        models = {baseline.name: dense, **deployed}
        plain = {n.name: n.model for n in networks} | {baseline.name: dense}
        with _status(console, f"timing {len(models)} networks in turns, batch {size}"):
            latencies += measure(
                models, clip, [size], layers=names, plain=plain, budget=budget, threads=threads
            )
    rows = [_row(n, baseline.name, accuracies, latencies, forms, clip[None]) for n in networks]
    videos = data.videos("test")
    swapped = any(winograd_layers(network.model) for network in networks)
    environment = describe(device, threads)
    return Comparison(
        rows=rows,
        data=TestData(
            name=type(data).__name__,
            root=str(data.hparams["root"]),
            split=data.hparams.get("split"),
            videos=len(videos),
            views=views,
            num_classes=data.num_classes,
            clip_shape=tuple(clip.shape),
        ),
        environment=environment,
        layers=_layer_speeds(latencies),
        notes=[
            *filter(None, map(unfinished, networks)),
            *_unreadable(accuracies, len(videos)),
            *_agreement(rows, len(videos) * views),
            *_deployment(rows, off),
            *_unsteady(rows),
            *([REFERENCE_NOTE] if swapped and environment.winograd == "reference" else []),
        ],
        predictions=_predictions(accuracies, data),
    )


def _accuracies(
    networks: Sequence[Network],
    data: VideoDataModule,
    device: torch.device | str,
    console: Console | None,
) -> tuple[dict[str, Accuracy], Tensor, int]:
    """Accuracies of the trained networks, one clip (C, T, H, W), and the number of views."""
    loader = data.test_dataloader()
    trained = {network.name: network.model for network in networks if network.trained}
    shown: list[Tensor] = []

    def batches() -> Any:
        for batch in map(data.take_bad, loader):
            if not shown:
                shown.append(batch["clip"][0].clone())
            yield batch

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    if console is not None and not console.is_terminal:
        console.print(f"evaluating {len(trained)} networks on {len(data.videos('test'))} videos")
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=console is None) as bar:
        task = bar.add_task("test videos", total=len(data.videos("test")))
        accuracies = evaluate(
            trained,
            batches(),
            data.num_classes,
            device=device,
            progress=lambda videos: bar.advance(task, videos),
        )
    return accuracies, shown[0][0], len(shown[0])


def _swapped_layers(networks: Sequence[Network]) -> list[str]:
    """Names of the layers that are Winograd layers in some network, in the order they run."""
    swapped = {name for network in networks for name in winograd_layers(network.model)}
    return [name for name, _ in networks[0].model.named_modules() if name in swapped]


def _row(
    network: Network,
    baseline: str,
    accuracies: dict[str, Accuracy],
    latencies: list[Latency],
    forms: list[dict[str, str]],
    example: Tensor,
) -> Row:
    counts = count(network.model, example)
    parameterization = network.parameterization
    return Row(
        name=network.name,
        kind=network.kind,
        checkpoint=network.checkpoint,
        digest=network.digest,
        parameterization=parameterization,
        columns_kept=None if parameterization is None else 1 - column_sparsity(network.model),
        accuracy=_figures(network.name, baseline, accuracies),
        parameters=counts.parameters,
        trainable=counts.trainable,
        multiplications=round(counts.multiplications),
        multiplications_dense=round(counts.multiplications_dense),
        speed=[
            Speed(
                batch_size=latency.batch_size,
                ms_per_clip=latency.ms_per_clip(network.name),
                iqr_ms_per_clip=latency.iqr_ms_per_clip(network.name),
                repeats=latency.networks[network.name].repeats,
                speedup=latency.speedup(network.name, baseline),
                form=form[network.name],
            )
            for latency, form in zip(latencies, forms)
        ],
    )


def _figures(name: str, baseline: str, accuracies: dict[str, Accuracy]) -> AccuracyFigures | None:
    accuracy, reference = accuracies.get(name), accuracies.get(baseline)
    if accuracy is None:
        return None
    comparable = reference is not None and name != baseline
    return AccuracyFigures(
        clip_top1=accuracy.clip_top1,
        clip_top5=accuracy.clip_top5,
        video_top1=accuracy.video_top1,
        video_top5=accuracy.video_top5,
        clips_changed=accuracy.clips_changed(reference) if comparable and reference else None,
    )


def _layer_speeds(latencies: list[Latency]) -> list[LayerSpeed]:
    return [
        LayerSpeed(layer, latency.batch_size, {n: t.ms / latency.batch_size for n, t in by.items()})
        for latency in latencies
        for layer, by in latency.layers.items()
    ]


def _predictions(
    accuracies: Mapping[str, Accuracy], data: VideoDataModule
) -> VideoPredictions | None:
    if not accuracies:
        return None
    videos = data.videos("test")
    order = [p.video for p in next(iter(accuracies.values())).predictions]
    return VideoPredictions(
        class_names=list(data.class_names),
        videos=[str(videos[index].path) for index in order],
        labels=[videos[index].label for index in order],
        predicted={
            name: [-1 if p.unreadable else p.predicted for p in accuracy.predictions]
            for name, accuracy in accuracies.items()
        },
        probability={
            name: [float(p.probabilities.max()) for p in accuracy.predictions]
            for name, accuracy in accuracies.items()
        },
    )


def _unreadable(accuracies: Mapping[str, Accuracy], videos: int) -> list[str]:
    bad = max((accuracy.unreadable for accuracy in accuracies.values()), default=0)
    return [f"{bad} of {videos} test videos cannot be read and count as wrong."] if bad else []


def _deployment(rows: list[Row], off: list[float]) -> list[str]:
    if not off:
        return []
    forms = " and ".join(dict.fromkeys(speed.form for speed in rows[0].speed))
    return [
        f"Times of {rows[0].name} are PyTorch's ({forms}); the others are deployed, their outputs "
        f"within {max(off):.0e} of what was evaluated."
    ]


def _agreement(rows: list[Row], clips: int) -> list[str]:
    exact = next((r.accuracy for r in rows if r.kind == "exact" and r.accuracy), None)
    if exact is None or exact.clips_changed is None:
        return []
    return [
        f"Exact Winograd classifies {clips - exact.clips_changed} of {clips} clips as dense does."
    ]


def _unsteady(rows: list[Row]) -> list[str]:
    spread, worst = max(
        (s.iqr_ms_per_clip / s.ms_per_clip, f"{row.name}, batch {s.batch_size}")
        for row in rows
        for s in row.speed
    )
    if spread < UNSTEADY:
        return []
    return [
        f"These times are unsteady: {worst} has an inter-quartile range of {100 * spread:.0f} % of "
        "its median. Was the machine busy?"
    ]


def _status(console: Console | None, text: str) -> Any:
    console = console or Console(quiet=True)
    if not console.is_terminal:  # where a spinner shows nothing
        console.print(text)
    return console.status(text)
