"""Small videos whose frames tell their number, and folders of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from videowino.data.synthetic import write_video

STEP = 10  # grey levels between neighbouring frames


def write_counting(path: Path, frames: int = 12, size: tuple[int, int] = (24, 32)) -> Path:
    """A video whose frame i is flat grey, STEP * i bright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = STEP * np.arange(frames, dtype=np.uint8)
    write_video(path, np.broadcast_to(levels[:, None, None, None], (frames, *size, 3)))
    return path


def frame_numbers(frames: torch.Tensor) -> list[int]:
    """Which frames of a counting video these are: T ... uint8."""
    return (frames.flatten(1).float().mean(1) / STEP).round().int().tolist()


def write_folder(root: Path, groups: int = 4, classes: Sequence[str] = ("Jump", "Run")) -> Path:
    """UCF101's layout without lists: a clip of 6 frames for each class and group."""
    for name in classes:
        for group in range(1, groups + 1):
            clip = root / "videos" / name / f"v_{name}_g{group:02d}_c01.avi"
            write_counting(clip, frames=6)
    return root


def write_lists(root: Path, test_groups: Sequence[int] = (1,), number: int = 1) -> Path:
    """Split lists for the clips that are there."""
    lists = root / "splits"
    lists.mkdir(exist_ok=True)
    names = sorted(p.name for p in (root / "videos").iterdir())
    (lists / "classInd.txt").write_text("".join(f"{i} {n}\n" for i, n in enumerate(names, 1)))
    train, test = "", ""
    for label, name in enumerate(names, 1):
        for path in sorted((root / "videos" / name).iterdir()):
            if int(path.stem.split("_g")[1][:2]) in test_groups:
                test += f"{name}/{path.name}\n"
            else:
                train += f"{name}/{path.name} {label}\n"
    (lists / f"trainlist{number:02d}.txt").write_text(train)
    (lists / f"testlist{number:02d}.txt").write_text(test)
    return root


@pytest.fixture
def counting(tmp_path):
    return write_counting(tmp_path / "counting.avi")


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "clips")


@pytest.fixture
def listed(folder):
    return write_lists(folder)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
