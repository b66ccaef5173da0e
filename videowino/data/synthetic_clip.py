"""Clips rendered so that only motion tells the classes apart.

Each clip shows a random texture through a soft window on a background of another texture. What
moves is the texture inside the window, in one of eight ways; the window stands still and the
background drifts slowly in a direction of its own.

Single frames have the same distribution in all classes and at all times, exactly:

- textures are sums of noise octaves whose weights depend on their size *on screen*, so that a zoom
  only brings new octaves in (an endless zoom) and leaves no scale behind;
- phase, angle and octave are drawn uniformly, and motion keeps them so.

A group is an appearance: palette, contrast, window, seed. No group is in two parts of a split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

# Class name -> its motion and direction; the axes are x, y, rotation and zoom on screen.
MOTIONS = {
    "MoveDown": (1, 1),
    "MoveLeft": (0, -1),
    "MoveRight": (0, 1),
    "MoveUp": (1, -1),
    "TurnLeft": (2, -1),
    "TurnRight": (2, 1),
    "ZoomIn": (3, 1),
    "ZoomOut": (3, -1),
}
# Class -> class of its mirrored clips; the other classes' are of the same.
MIRRORED = {"MoveLeft": "MoveRight", "TurnLeft": "TurnRight"}
# A frame's motion along each axis: pixels (of 64), pixels, radians, octaves. The class's axis
# moves by 1 to 2 of these, the others by up to OTHERS of them either way.
UNIT = np.array([0.7, 0.7, 0.05, 0.035])
OTHERS = 0.6
DRIFT = 0.5  # pixels a frame, of the background
NOISE = 10  # grey levels, deviation of each pixel

_LATTICE = 64  # cells after which a noise octave repeats
_FINEST, _COARSEST = 3.0, 24.0  # cell sizes on screen between which an octave is seen


@dataclass(frozen=True)
class SyntheticSpec:
    """What is rendered.

    Args:
        groups: appearances; three splits take 7 of them for testing each.
        clips_per_group: clips of each class and group.
        frames: frames a clip.
        size: height and width of a frame; even.
        seed: everything random follows from it.
    """

    groups: int = 27
    clips_per_group: int = 2
    frames: int = 20
    size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("groups", self.groups, 3),
            ("clips_per_group", self.clips_per_group, 1),
            ("frames", self.frames, 2),
        ):
            if value < least:
                raise ValueError(f"{name}={value}: at least {least}")
        if self.size < 16 or self.size % 2:
            raise ValueError(f"size={self.size}: an even number of pixels, at least 16")

    @property
    def splits(self) -> list[set[int]]:
        """Test groups of each split, numbered from 1."""
        share = min(7, max(1, self.groups // 3))
        return [set(range(k * share + 1, (k + 1) * share + 1)) for k in range(3)]


def render_clip(spec: SyntheticSpec, motion: str, group: int, clip: int) -> np.ndarray:
    """Frames of one clip: T H W C uint8.

    Args:
        spec: the set it belongs to.
        motion: a class of `MOTIONS`.
        group: its appearance, from 1.
        clip: its number in class and group, from 1.
    """
    look = np.random.default_rng([spec.seed, group])
    colours = _palette(look)
    contrast = look.uniform(0.6, 1.0)
    square = bool(look.integers(2))
    radius = look.uniform(0.3, 0.42) * spec.size

    rng = np.random.default_rng([spec.seed, group, clip, list(MOTIONS).index(motion)])
    axis, direction = MOTIONS[motion]
    motions = rng.uniform(-OTHERS, OTHERS, 4)
    motions[axis] = direction * rng.uniform(1, 2)
    centre = rng.uniform(0.35, 0.65, 2) * spec.size
    front = _texture(rng, spec, motions * UNIT, centre)
    angle, speed = rng.uniform(0, 2 * math.pi), rng.uniform(0, DRIFT)
    back = _texture(rng, spec, np.array([speed * math.cos(angle), speed * math.sin(angle), 0, 0]))
    window = _window(spec.size, centre, radius, square)

    near = _blend(colours[0], colours[1], 0.5 + contrast * (front - 0.5))
    far = _blend(colours[2], colours[3], 0.5 + contrast * (back - 0.5))
    near -= far
    near *= window[..., None]
    frames = (far + near) * np.float32(255 * rng.uniform(0.8, 1.1))
    frames += NOISE * rng.standard_normal(frames.shape, dtype=np.float32)
    return frames.clip(0, 255, out=frames).astype(np.uint8)


def _texture(
    rng: np.random.Generator,
    spec: SyntheticSpec,
    motion: np.ndarray,
    centre: np.ndarray | tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Values in [0, 1], T H W: noise octaves moved as told, about `centre` (x, y)."""
    scale = spec.size / 64
    right, down, turn, zoom = motion * [scale, scale, 1, 1]
    # Octave k's cells measure _FINEST * 2**position on screen. Those that a zoom brings into sight
    # by the end are there from the start.
    time = np.arange(spec.frames)
    span = math.log2(_COARSEST / _FINEST)
    spare = math.ceil(2 * UNIT[3] * spec.frames)
    octaves = math.ceil(span) + 2 * spare
    noise = rng.random((octaves, _LATTICE, _LATTICE), dtype=np.float32)
    offset = rng.uniform(0, _LATTICE, (octaves, 2)).astype(np.float32)
    angle0, octave0 = rng.uniform(0, 2 * math.pi), rng.uniform(0, 1)
    grid = np.arange(spec.size) + 0.5
    x = grid[None, None, :] - centre[0] - right * time[:, None, None]
    y = grid[None, :, None] - centre[1] - down * time[:, None, None]
    cos, sin = (f(angle0 + turn * time)[:, None, None] for f in (np.cos, np.sin))
    u, v = (w.astype(np.float32) for w in (cos * x + sin * y, cos * y - sin * x))

    position = np.arange(octaves)[:, None] - spare + octave0 + zoom * time  # K T
    share = position / span
    weight = np.where((share > 0) & (share < 1), np.sin(np.pi * share) ** 2, 0.0)
    weight /= np.sqrt((weight**2).sum(0))
    total = np.zeros(u.shape, dtype=np.float32)
    for k in range(octaves):
        if weight[k].any():
            cells = (_FINEST * 2.0 ** position[k] * scale).astype(np.float32)[:, None, None]
            sampled = _lookup(noise[k], u / cells + offset[k, :1], v / cells + offset[k, 1:])
            total += weight[k].astype(np.float32)[:, None, None] * sampled
    return np.clip(0.5 + np.float32(1.6) * total, 0, 1)


def _lookup(noise: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Noise about 0, bilinear between lattice points, repeating: T H W at cells u, v."""
    table = torch.from_numpy(np.pad(noise - 0.5, ((0, 1), (0, 1)), mode="wrap"))
    cells = torch.from_numpy(np.stack([u, v], -1)) % _LATTICE
    frames = len(cells)
    sampled = F.grid_sample(
        table.expand(frames, 1, -1, -1), cells * (2 / _LATTICE) - 1, align_corners=True
    )
    return sampled[:, 0].numpy()


def _window(size: int, centre: np.ndarray, radius: float, square: bool) -> np.ndarray:
    """Soft-edged disc or square: H W in [0, 1]."""
    grid = np.arange(size) + 0.5
    dx, dy = np.abs(grid - centre[0])[None, :], np.abs(grid - centre[1])[:, None]
    distance = np.maximum(dx, dy) if square else np.hypot(dx, dy)
    return np.clip((radius - distance) / (0.05 * size) + 0.5, 0, 1).astype(np.float32)


def _palette(rng: np.random.Generator) -> np.ndarray:
    """Two colours for the window's texture, two for the background's: 4 x RGB."""
    middle = rng.uniform(0.3, 0.7, (2, 3))
    half = rng.uniform(0.15, 0.3, (2, 3)) * rng.choice([-1, 1], (2, 1))
    low, high = middle - half, middle + half
    return np.stack([low[0], high[0], low[1], high[1]])


def _blend(dark: np.ndarray, bright: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Colours between two, T H W C float32, for values T H W in [0, 1]."""
    blended = value[..., None] * (bright - dark).astype(np.float32)
    blended += dark.astype(np.float32)
    return blended
