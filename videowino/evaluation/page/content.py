"""What a page shows beside a comparison's figures."""

from __future__ import annotations

from dataclasses import dataclass, field

from videowino.evaluation.comparison import Comparison


@dataclass(frozen=True)
class Cube:
    """The columns of a layer.

    Attributes:
        layer: its name.
        tile: as "F(2x4x4, 3x3x3)".
        alpha: positions per axis.
        shades: a position each: 0 is pruned, 1 (least) to 5 kept, by magnitude.
        blocks: columns' worth of what is left, where they are pruned by blocks of channels.
    """

    layer: str
    tile: str
    alpha: tuple[int, int, int]
    shades: list[int]
    blocks: float | None = None

    @property
    def kept(self) -> int:
        """Columns that are left."""
        return sum(shade > 0 for shade in self.shades)

    @property
    def left(self) -> str:
        """What is left, in words."""
        if self.blocks is None:
            return f"{self.kept} of {len(self.shades)}"
        return f"{self.blocks:.1f} of {len(self.shades)}, by blocks of channels"


@dataclass(frozen=True)
class NetworkDetail:
    """One network, beside its row.

    Attributes:
        cubes: of its Winograd layers, in the order of the model.
        config: its run's config.yaml; None where there is none.
        config_path: that file's.
        commands: that trained it.
    """

    cubes: list[Cube] = field(default_factory=list)
    config: str | None = None
    config_path: str | None = None
    commands: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    """A test video's clip, as a strip of frames side by side.

    Attributes:
        video: its place in the predictions' lists.
        image: data URI of the strip.
        frames: in it.
        size: (height, width) of a frame in pixels.
    """

    video: int
    image: str
    frames: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Page:
    """All of it.

    Attributes:
        comparison: the figures.
        details: network -> what is shown of it alone.
        samples: clips to look at.
        commands: that make the figures and the page again.
    """

    comparison: Comparison
    details: dict[str, NetworkDetail]
    samples: list[Sample]
    commands: list[str]
