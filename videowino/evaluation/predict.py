"""What happens in a video, window by window.

Clips are made as the network was trained on them: of a video's neighbouring frames ("random"
sampling), or of frames spread over the whole window ("uniform", "dense"). A video longer than a
window is cut into windows one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from videowino.data.decoding import FrameReader, open_video
from videowino.data.sampling import DENSE_WINDOW, ClipSampler
from videowino.data.splits import VIDEO_SUFFIXES
from videowino.data.transforms import eval_transform
from videowino.deployment import Preprocessing

# Seconds that a clip is spread over at most: data sets' videos last so long.
_SPREAD = 10.0
_TOGETHER = 256 << 20  # bytes of decoded frames at a time


@dataclass(frozen=True)
class Window:
    """A part of a video.

    Attributes:
        start: Seconds.
        end: Seconds.
        probabilities: (classes,).
    """

    start: float
    end: float
    probabilities: Tensor


@dataclass(frozen=True)
class VideoPrediction:
    """What a network says of a video.

    Attributes:
        path: The file.
        seconds: How long it is.
        windows: In order, one or more.
        note: What was out of the ordinary; "" if nothing.
    """

    path: Path
    seconds: float
    windows: tuple[Window, ...]
    note: str = ""

    @property
    def probabilities(self) -> Tensor:
        """(classes,), the mean over the windows."""
        return torch.stack([window.probabilities for window in self.windows]).mean(0)

    def stretches(self) -> list[tuple[float, float, int, float]]:
        """The timeline: (start, end, class, mean probability) of windows of one class in a row."""
        found: list[tuple[float, float, int, float]] = []
        run: list[Window] = []
        for window in [*self.windows, None]:
            best = None if window is None else int(window.probabilities.argmax())
            if run and best != int(run[0].probabilities.argmax()):
                label = int(run[0].probabilities.argmax())
                mean = float(torch.stack([w.probabilities[label] for w in run]).mean())
                found.append((run[0].start, run[-1].end, label, mean))
                run = []
            if window is not None:
                run.append(window)
        return found


class Predictor:
    """A network with its preprocessing.

    Args:
        model: Takes clips N C T H W, gives logits.
        preprocessing: As it was trained.
        window: Seconds of a window; None takes what a clip covers, and for clips that are spread
            over a video all of it up to ten seconds.
        batch: Clips in a forward pass.
        device: Where the model is.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing,
        *,
        window: float | None = None,
        batch: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        if window is not None and not 0 < window < float("inf"):
            raise ValueError(f"window={window}: seconds, above 0")
        how = preprocessing
        self.model, self.window, self.batch, self.device = model, window, batch, device
        self.preprocessing = how
        self._transform = eval_transform(
            size=how.size,
            resize=how.resize,
            mean=how.mean,
            std=how.std,
            subtract_background=how.subtract_background,
        )
        self._sampler = ClipSampler(how.frames, how.stride, how.sampling, short_clips="last")

    def predict(
        self, path: str | Path, progress: Callable[[int, int], object] | None = None
    ) -> VideoPrediction:
        """Look at a video.

        Args:
            path: The file.
            progress: Called with the windows done and how many there are.

        Raises:
            FileNotFoundError, ValueError: It cannot be read; the message names it.
        """
        reader = open_video(path)
        bounds = self._bounds(reader)
        rate = reader.fps or 25.0
        windows: list[Window] = []
        try:
            for clips, these in self._clips(reader, bounds):
                for (start, stop), row in zip(these, self._probabilities(clips)):
                    windows.append(Window(start / rate, stop / rate, row))
                if progress is not None:
                    progress(len(windows), len(bounds))
        except ValueError as error:
            text = str(error).replace("data.", "")
            raise ValueError(text if str(path) in text else f"{path}: {text}") from None
        notes = []
        if reader.num_frames < self._sampler.span:
            notes.append(
                f"{reader.num_frames} frames, a clip takes {self._sampler.span}: the last one "
                "stands still"
            )
        if not reader.fps:
            notes.append("no frame rate in the file, times are for 25 frames a second")
        return VideoPrediction(
            Path(path), reader.num_frames / rate, tuple(windows), "; ".join(notes)
        )

    def _bounds(self, reader: FrameReader) -> list[tuple[int, int]]:
        """First frames of the windows and those behind their last."""
        frames = reader.num_frames
        if self.window is not None:
            length = max(1, round(self.window * (reader.fps or 25.0)))
        elif self.preprocessing.sampling == "uniform":
            length = min(frames, round(_SPREAD * (reader.fps or 25.0)))
        elif self.preprocessing.sampling == "dense":
            length = DENSE_WINDOW
        else:
            length = self._sampler.span
        count = max(1, frames // length)
        # What is left over at the end makes windows a little longer, none is too short.
        return [(i * frames // count, (i + 1) * frames // count) for i in range(count)]

    def _clips(
        self, reader: FrameReader, bounds: list[tuple[int, int]]
    ) -> Iterator[tuple[Tensor, list[tuple[int, int]]]]:
        """Some windows' clips at a time, N C T H W, in order."""
        frame_bytes = max(1, reader.num_bytes // max(1, reader.num_frames))
        together = max(1, _TOGETHER // (frame_bytes * self.preprocessing.frames))
        for first in range(0, len(bounds), together):
            these = bounds[first : first + together]
            indices = torch.stack(
                [start + self._sampler.test(stop - start, 1)[0] for start, stop in these]
            )
            frames = reader.get_frames(indices.flatten()).unflatten(0, indices.shape)
            yield self._transform(frames)[0], these

    @torch.inference_mode()
    def _probabilities(self, clips: Tensor) -> Iterator[Tensor]:
        for batch in clips.to(self.device).split(self.batch):
            missing = self.batch - len(batch)
            # All batches of one size: a deployed network measures algorithms for each anew.
            full = (
                batch
                if not missing
                else torch.cat([batch, batch[-1:].expand(missing, *batch.shape[1:])])
            )
            logits = self.model(full)[: len(batch)].float().cpu()
            if not torch.isfinite(logits).all():
                raise ValueError("the network's outputs are not finite (NaN or infinity)")
            yield from logits.softmax(-1)


def find_videos(paths: list[str]) -> tuple[list[Path], list[Path]]:
    """Files as given, and those in folders that are named like videos.

    Args:
        paths: Files and folders.

    Returns:
        The videos, and the files in folders that are none by their names; each once, sorted
        within a folder.

    Raises:
        FileNotFoundError: There is nothing at a path.
        ValueError: There is no video at all.
    """
    videos: dict[Path, None] = {}
    others: dict[Path, None] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                (videos if file.suffix.lower() in VIDEO_SUFFIXES else others)[file] = None
        elif path.exists():
            videos[path] = None
        else:
            raise FileNotFoundError(f"{path}: no such video or folder")
    if not videos:
        suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
        raise ValueError(f"{', '.join(paths)}: no video in there (names end in {suffixes})")
    return list(videos), list(others)
