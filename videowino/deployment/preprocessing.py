"""How a clip is made from a video for a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Preprocessing:
    """What the network was trained with; the words are those of the data modules.

    Attributes:
        frames: Frames a clip.
        stride: Distance of a clip's frames in the video, for sampling "random".
        sampling: "random" (a clip is a window of the video), "uniform" or "dense".
        size: Height and width of the crop that the network sees.
        resize: Height and width, or the short side, before the crop; None keeps the frames' own.
        mean: Per-channel mean of frames in [0, 1]; None normalises each clip by its own.
        std: Per-channel standard deviation.
        subtract_background: Whether each pixel's mean over the clip is taken away.
    """

    frames: int = 16
    stride: int = 1
    sampling: str = "random"
    size: tuple[int, int] = (112, 112)
    resize: int | tuple[int, int] | None = (128, 171)
    mean: tuple[float, float, float] | None = (0.43216, 0.394666, 0.37645)
    std: tuple[float, float, float] = (0.22803, 0.22145, 0.216989)
    subtract_background: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Preprocessing:
        """From a data module's hyper-parameters, or what `settings` gave."""
        known = {field.name for field in fields(cls)}
        given = {name: value for name, value in settings.items() if name in known}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
        }
        return cls(**values)

    @property
    def settings(self) -> dict[str, Any]:
        """By name, of plain types."""
        return asdict(self)

    @property
    def span(self) -> int:
        """Frames of video that a clip of neighbouring frames covers."""
        return (self.frames - 1) * self.stride + 1
