"""Which frames make a clip: for training one clip at random, for testing K spread clips.

Index tables: T frame numbers a clip. With N frames in the video and a clip that spans S of them:

- random: T frames `stride` apart (S = (T - 1) * stride + 1). Training draws the start from
  0..N - S; K test clips have evenly spaced starts, one clip is the middle one. The protocol of
  C3D (Tran et al. 2015) and of torchvision's video references.
- uniform: the whole video in T equal segments, a frame from each (TSN, Wang et al. 2016).
  Training draws one point for all segments, so that motion stays even (TSN draws one each), and
  may take a part of the video for the whole (`part`); test clip k takes the point (k + 1/2) / K.
- dense: T frames evenly spread over a window of 64 (TSM's dense sampling, Lin et al. 2019),
  or over the whole video where it is shorter; the window is placed like random's clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SAMPLINGS = ("random", "uniform", "dense")
SHORT_CLIPS = ("error", "loop", "last")
DENSE_WINDOW = 64


class ClipSampler:
    """Frame numbers of clips.

    Args:
        frames: T, frames a clip.
        stride: distance of neighbouring frames; for sampling="random" only, the others derive it.
        sampling: "random", "uniform" or "dense".
        part: for sampling="uniform", the share of the video that a training clip spans, drawn
            from this range: actions then also come earlier, later and slower.
        short_clips: a video with fewer frames than a clip spans is an error ("error"), starts
            again ("loop"), or stands still at its last frame ("last"). With sampling="uniform",
            both of the latter spread the frames there are over the clip.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        frames: int,
        stride: int = 1,
        sampling: str = "random",
        short_clips: str = "error",
        part: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        if frames < 1:
            raise ValueError(f"data.frames={frames}: a clip has at least 1 frame")
        if stride < 1:
            raise ValueError(f"data.stride={stride}: at least 1")
        if sampling not in SAMPLINGS:
            raise ValueError(f"data.sampling={sampling!r}: choose one of {', '.join(SAMPLINGS)}")
        if short_clips not in SHORT_CLIPS:
            raise ValueError(
                f"data.short_clips={short_clips!r}: choose one of {', '.join(SHORT_CLIPS)}"
            )
        if stride > 1 and sampling != "random":
            raise ValueError(
                f"data.stride={stride}: sampling={sampling!r} spaces its frames itself; "
                "leave data.stride at 1 or set data.sampling=random"
            )
        if not 0 < part[0] <= part[1] <= 1:
            raise ValueError(f"data.part={part}: a range of shares, above 0 and up to 1")
        if tuple(part) != (1.0, 1.0) and sampling != "uniform":
            raise ValueError(f"data.part={part}: goes with data.sampling=uniform only")
        self.frames, self.stride = frames, stride
        self.part = part
        self.sampling, self.short_clips = sampling, short_clips

    @property
    def span(self) -> int:
        """Frames of video that a clip needs."""
        return (self.frames - 1) * self.stride + 1

    def train(self, num_frames: int) -> Tensor:
        """One random clip, drawn from torch's CPU generator: int64 (T,).

        Raises:
            ValueError: the video is too short and `short_clips` is "error".
        """
        length = self._length(num_frames)
        if self.sampling == "uniform":
            low, high = self.part
            share = low + (high - low) * float(torch.rand(())) if low < high else low
            begin = (1 - share) * float(torch.rand(())) if share < 1 else 0.0
            indices = self._segments(length, torch.rand(()), begin, share)
        else:
            offsets = self._offsets(length)
            indices = torch.randint(length - int(offsets[-1]), ()) + offsets
        return self._within(indices, num_frames)

    def test(self, num_frames: int, clips: int | Sequence[int] = 1) -> Tensor:
        """K clips spread over the video, the same at each call: int64 (K, T).

        Args:
            num_frames: of the video.
            clips: K; of several numbers, the clips of each, one set behind the other.

        Raises:
            ValueError: the video is too short and `short_clips` is "error".
        """
        if not isinstance(clips, int):
            return torch.cat([self.test(num_frames, number) for number in clips])
        length = self._length(num_frames)
        if self.sampling == "uniform":
            points = (torch.arange(clips) + 0.5) / clips
            indices = self._segments(length, points[:, None].expand(clips, self.frames))
        else:
            offsets = self._offsets(length)
            room = length - 1 - int(offsets[-1])
            if clips == 1:
                starts = torch.tensor([room // 2])
            else:
                starts = torch.arange(clips) * room // (clips - 1)
            indices = starts[:, None] + offsets
        return self._within(indices, num_frames)

    def _segments(
        self, length: int, points: Tensor, start: float = 0.0, share: float = 1.0
    ) -> Tensor:
        """Frame at share `points` of each of T equal segments of a part of the video."""
        # float64 keeps the floor exact.
        position = (torch.arange(self.frames) + points.double()) * (length / self.frames)
        position = start * length + share * position
        return position.long().clamp(max=length - 1)

    def _offsets(self, length: int) -> Tensor:
        step = self.stride
        if self.sampling == "dense":
            step = min(DENSE_WINDOW, length) // self.frames or 1
        return torch.arange(self.frames) * step

    def _length(self, num_frames: int) -> int:
        """Frames to sample from: the video's, or those it is made to last."""
        if num_frames < self.span and self.short_clips == "error":
            raise ValueError(
                f"{num_frames} frames, but data.frames={self.frames} at data.stride={self.stride} "
                f"needs {self.span}; ask for fewer, or set data.short_clips to loop or last"
            )
        if self.sampling == "uniform":  # segments shorter than a frame repeat it, evenly
            return num_frames
        return max(num_frames, self.span)

    def _within(self, indices: Tensor, num_frames: int) -> Tensor:
        if self.short_clips == "loop":
            return indices % num_frames
        return indices.clamp(max=num_frames - 1)
