"""Where a root keeps lists and clips, and what the official lists name."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from videowino.data.splits import read_lines
from videowino.preparing.official import Benchmark


def lists_folder(root: Path, benchmark: Benchmark) -> Path:
    """Folder of the split lists."""
    return root / benchmark.lists_folder


def has_lists(root: Path, benchmark: Benchmark) -> bool:
    """Whether all split lists are there."""
    folder = lists_folder(root, benchmark)
    return sum(1 for path in folder.glob("*.txt") if path.stat().st_size) >= benchmark.list_files


def clips_folder(root: Path, benchmark: Benchmark) -> Path:
    """Folder of the classes: what is there of those that the data module looks into, else `videos`.

    The same order as the data module's: `videos`, the archive's own folder, the root.
    """
    for name in ("videos", benchmark.videos_folder):
        if (root / name).is_dir():
            return root / name
    listed = {clip.parts[0] for clip in official_clips(root, benchmark)}
    inside = root.is_dir() and any(p.is_dir() and p.name in listed for p in root.iterdir())
    return root if inside else root / "videos"


def official_clips(root: Path, benchmark: Benchmark) -> list[PurePosixPath]:
    """`<class>/<file>` of every clip that the lists in `root` name, each once, sorted.

    Raises:
        ValueError: a list cannot be read.
    """
    folder = lists_folder(root, benchmark)
    clips: set[PurePosixPath] = set()
    if benchmark.name == "hmdb51":
        for path in sorted(folder.glob("*_test_split1.txt")):
            name = path.name.removesuffix("_test_split1.txt")
            for line in read_lines(path):
                clips.add(PurePosixPath(name, line.rpartition(" ")[0].strip()))
    else:
        for part in ("trainlist01.txt", "testlist01.txt"):
            for line in read_lines(folder / part):
                clips.add(PurePosixPath(line.split()[0]))
    return sorted(clips)


def official_names(clips: list[PurePosixPath]) -> dict[tuple[str, str], PurePosixPath]:
    """Clips by class and file name in lower case: some copies spell HandstandPushups otherwise."""
    return {(clip.parent.name.lower(), clip.name.lower()): clip for clip in clips}
