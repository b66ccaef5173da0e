"""Puts a page together from a comparison, its networks and their data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from videowino.data import VideoDataModule
from videowino.evaluation.comparison import Comparison
from videowino.evaluation.networks import Network
from videowino.evaluation.page.content import NetworkDetail, Page
from videowino.evaluation.page.cubes import cubes_of
from videowino.evaluation.page.samples import samples_of
from videowino.training.run_folder import CONFIG
from videowino.training.run_record import commands_of


def gather_page(
    comparison: Comparison,
    networks: Sequence[Network],
    data: VideoDataModule,
    *,
    clips: int = 8,
    commands: Sequence[str] = (),
) -> Page:
    """Everything the page shows.

    Args:
        comparison: of these networks.
        networks: those of its rows, in any order.
        data: that it was made on, set up for "test".
        clips: test clips to show; 0 for none.
        commands: that made the comparison and the page.

    Raises:
        ValueError: the comparison is of other networks, or of what checkpoints were before.
    """
    _check_same(comparison, networks)
    by_name = {network.name: network for network in networks}
    details = {row.name: _detail(by_name[row.name]) for row in comparison.rows}
    predictions = comparison.predictions
    return Page(
        comparison=comparison,
        details=details,
        samples=[] if predictions is None else samples_of(data, predictions, clips),
        commands=[
            *(line for detail in details.values() for line in detail.commands),
            *commands,
        ],
    )


def _detail(network: Network) -> NetworkDetail:
    cubes = cubes_of(network.model)
    if network.checkpoint is None:
        return NetworkDetail(cubes)
    run = Path(network.checkpoint).parent.parent
    path = run / CONFIG
    if not path.is_file():
        return NetworkDetail(cubes)
    config = path.read_text(encoding="utf-8", errors="replace")
    again = f"python train.py fit --config {path} --run runs/again/{network.name}"
    return NetworkDetail(cubes, config, str(path), commands_of(run) or [again])


def _check_same(comparison: Comparison, networks: Sequence[Network]) -> None:
    inside = {row.name: _file(row.checkpoint) for row in comparison.rows}
    given = {network.name: _file(network.checkpoint) for network in networks}
    if inside != given:
        raise ValueError(
            f"comparison: is of {_listed(inside)}, and {_listed(given)} were given; give the same "
            "checkpoints, or leave it out"
        )
    by_name = {network.name: network for network in networks}
    for row in comparison.rows:
        if row.digest is not None and row.digest != by_name[row.name].digest:
            raise ValueError(
                f"comparison: {row.checkpoint} has changed since its figures were taken; compare "
                "again, or leave it out"
            )


def _listed(files: dict[str, Path | None]) -> str:
    return ", ".join(str(file or name) for name, file in files.items())


def _file(checkpoint: str | None) -> Path | None:
    return None if checkpoint is None else Path(checkpoint).absolute()
