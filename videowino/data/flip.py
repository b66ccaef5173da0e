"""Mirroring of training clips where left and right may differ in meaning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from videowino.cli import require, suggestion


class Flip(nn.Module):
    """Mirrors half of the clips, and gives each the label of what is then to be seen.

    The draw is made for every clip, so that what else happens to a clip does not depend on its
    class.

    Args:
        pairs: class -> the class of its mirrored clips, either way round.
        never: classes whose clips stay as they are.
    """

    def __init__(self, pairs: Mapping[str, str] | None, never: Collection[str] | None) -> None:
        super().__init__()
        self.pairs, self.never = dict(pairs or {}), list(never or ())
        self._labels: list[int | None] | None = None

    @property
    def needs_label(self) -> bool:
        """Whether what is done to a clip depends on its class."""
        return bool(self.pairs or self.never)

    def name_classes(self, class_names: Sequence[str]) -> None:
        """Say which classes there are, in label order.

        Raises:
            ValueError: a class of `pairs` or `never` is none of them.
        """
        self._labels = mirrored_labels(class_names, self.pairs, self.never)

    def forward(self, frames: Tensor, label: int) -> tuple[Tensor, int]:
        """Frames ... W and their label, mirrored or not; a view where not."""
        flipped = bool(torch.rand(1) < 0.5)
        if not flipped:
            return frames, label
        mirrored: int | None = label
        if self.needs_label:
            assert self._labels is not None, "name_classes comes first"
            mirrored = self._labels[label]
        return (frames, label) if mirrored is None else (frames.flip(-1), mirrored)


def check_flip(
    flip: bool,
    mirror: bool,
    pairs: Mapping[str, str] | None,
    never: Collection[str] | None,
) -> None:
    """Refuse what cannot be meant; the arguments are `VideoDataModule`'s.

    Raises:
        ValueError: the options contradict each other.
    """
    given = f"data.flip_pairs={dict(pairs)}" if pairs else f"data.no_flip={list(never or ())}"
    if not (pairs or never):
        return
    require(flip, f"{given} has no use with data.flip=False, which mirrors nothing")
    require(
        not mirror,
        f"{given}: data.mirror=True (as data.crops=10) tests on mirrored clips, which are of "
        "another class then; set data.mirror to false, and crops to 1 or 3",
    )
    partners = _both_ways(pairs or {})
    for name in never or ():
        require(
            name not in partners,
            f"data.no_flip: {name!r} is in data.flip_pairs too; leave it in one of them",
        )


def mirrored_labels(
    class_names: Sequence[str],
    pairs: Mapping[str, str],
    never: Collection[str] = (),
) -> list[int | None]:
    """The label of each class's mirrored clips, None where they are never mirrored.

    Raises:
        ValueError: a class of `pairs` or `never` is not there; one line with the nearest name.
    """
    labels = {name: label for label, name in enumerate(class_names)}
    partners = _both_ways(pairs)
    for option, names in (("flip_pairs", partners), ("no_flip", never)):
        for name in names:
            require(
                name in labels,
                f"data.{option}: there is no class {name!r}{suggestion(name, labels)}",
            )
    return [None if n in never else labels[partners.get(n, n)] for n in class_names]


def _both_ways(pairs: Mapping[str, str]) -> dict[str, str]:
    partners: dict[str, str] = {}
    for pair in pairs.items():
        for name, other in (pair, pair[::-1]):
            require(
                partners.setdefault(name, other) == other,
                f"data.flip_pairs: {name!r} is paired with {partners[name]!r} and {other!r}",
            )
    return partners
