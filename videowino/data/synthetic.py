"""A video set that needs nothing: clips of `synthetic_clip`, rendered and encoded on first use.

Frames are encoded one by one (no inter-frame prediction, constant quantiser), so that coding leaves
no trace of the motion: single frames say nothing of the class.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from rich.progress import track

from videowino.data.synthetic_clip import MIRRORED, MOTIONS, SyntheticSpec, render_clip
from videowino.data.video_folder import VideoFolder

_FPS = 25
_RECORD = "synthetic.json"

_log = logging.getLogger(__name__)


def write_video(path: Path, frames: np.ndarray) -> None:
    """Encode T H W C uint8 as MPEG-4 in an .avi, each frame by itself."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=_FPS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.gop_size, context.thread_count = 1, 1
        context.qmin = context.qmax = 3
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def render_set(
    root: str | Path,
    spec: SyntheticSpec = SyntheticSpec(),  # noqa: B008
    progress: Callable[[list], Iterable] = iter,
) -> None:
    """Render the set to `root`, in UCF101's layout with split lists; all of it or nothing.

    Args:
        root: a folder that is absent or empty.
        spec: what to render.
        progress: wraps the list of clips, to show progress.

    Raises:
        ValueError: `root` holds something.
    """
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ValueError(f"data.root={str(root)!r}: not empty; remove it or name another folder")
    root.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # frames are too small to share
    try:
        _render_all(unfinished, spec, progress)
        unfinished.chmod(0o755)
        try:
            os.rename(unfinished, root)
        except OSError:
            if not (root / _RECORD).is_file():  # another process was first, with the same clips
                raise
    finally:
        torch.set_num_threads(threads)
        shutil.rmtree(unfinished, ignore_errors=True)


def is_rendered(root: str | Path, spec: SyntheticSpec) -> bool:
    """Whether `root` holds the set.

    Raises:
        ValueError: it holds one that was rendered otherwise.
    """
    record = Path(root) / _RECORD
    if not record.is_file():
        return False
    found = json.loads(record.read_text())
    if found != asdict(spec):
        other = ", ".join(f"{name}={found.get(name)}" for name in asdict(spec))
        raise ValueError(
            f"data.root={str(root)!r}: the set in it was rendered with {other}; "
            "ask for the same, remove it, or name another folder"
        )
    return True


def _render_all(root: Path, spec: SyntheticSpec, progress: Callable[[list], Iterable]) -> None:
    clips = [
        (motion, group, clip)
        for motion in MOTIONS
        for group in range(1, spec.groups + 1)
        for clip in range(1, spec.clips_per_group + 1)
    ]
    names = {c: f"{c[0]}/v_{c[0]}_g{c[1]:02d}_c{c[2]:02d}.avi" for c in clips}
    for motion in MOTIONS:
        (root / "videos" / motion).mkdir(parents=True)
    for clip in progress(clips):
        write_video(root / "videos" / names[clip], render_clip(spec, *clip))
    lists = root / "splits"
    lists.mkdir()
    labels = {motion: label for label, motion in enumerate(MOTIONS, start=1)}
    lines = [f"{label} {motion}\n" for motion, label in labels.items()]
    (lists / "classInd.txt").write_text("".join(lines))
    for split, held_out in enumerate(spec.splits, start=1):
        train = [f"{names[c]} {labels[c[0]]}\n" for c in clips if c[1] not in held_out]
        test = [f"{names[c]}\n" for c in clips if c[1] in held_out]
        (lists / f"trainlist{split:02d}.txt").write_text("".join(train))
        (lists / f"testlist{split:02d}.txt").write_text("".join(test))
    (root / _RECORD).write_text(json.dumps(asdict(spec)) + "\n")


class SyntheticMotion(VideoFolder):
    """The synthetic motion set, rendered on first use: 8 classes, 3 splits by appearance.

    Takes all of `VideoDataModule`'s arguments; those below are its own or have other defaults.

    Args:
        root: where the set is, or is to be rendered where there is nothing.
        frames: frames a clip.
        size: height and width of the crop.
        resize: height and width, or the short side, before the crop.
        flip: mirror half of the training clips; a mirrored MoveLeft then counts as a MoveRight.
        groups: appearances to render; this and the following are `SyntheticSpec`'s, and a set
            that is there already must have been rendered with the same.
        clips_per_group: clips of each class and group.
        video_frames: frames a video.
        video_size: height and width of a video.
        render_seed: seed of the rendering.
        **kwargs: the other arguments of `VideoDataModule`.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        *,
        root: str = "datasets/synthetic",
        frames: int = 16,
        size: tuple[int, int] = (56, 56),
        resize: int | tuple[int, int] | None = None,
        flip: bool = False,
        groups: int = 27,
        clips_per_group: int = 2,
        video_frames: int = 20,
        video_size: int = 64,
        render_seed: int = 0,
        **kwargs,
    ) -> None:
        if flip:
            kwargs.setdefault("flip_pairs", MIRRORED)
        super().__init__(root=root, frames=frames, size=size, resize=resize, flip=flip, **kwargs)
        self.spec = SyntheticSpec(groups, clips_per_group, video_frames, video_size, render_seed)

    def read_class_names(self) -> list[str]:
        """The motions."""
        return list(MOTIONS)

    @property
    def class_names(self) -> list[str]:
        """The motions; known before anything is rendered."""
        return list(MOTIONS)

    def prepare_data(self) -> None:
        """Render the set where `root` is absent or empty.

        Raises:
            ValueError: `root` holds something else, or a set rendered otherwise.
        """
        if not is_rendered(self.root, self.spec):
            rank_zero_only(_log.info)(f"{self.root}: rendering the synthetic motion set (once)")
            render_set(self.root, self.spec, progress=partial(track, description="Rendering"))
