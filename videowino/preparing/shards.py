"""A data set into tar shards that `videowino.data.VideoShards`, and any WebDataset reader, reads.

A clip is two members of a tar file: the video's bytes as they are, and a small JSON with its
label, class, group and listed name. Training clips are shuffled once, so that neighbours in a shard
are no neighbours in the list; test clips stay in order. A set is written to the side and renamed
when it is whole, and the same data and options give the same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import random
import re
import shutil
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, TypeAlias

from filelock import FileLock, Timeout

from videowino.data import VideoDataModule
from videowino.data.splits import Video
from videowino.data.streaming.extra import need
from videowino.data.streaming.index import INDEX, PARTS, Shard, ShardClip, ShardIndex
from videowino.files import sha256_of

# Of tar, a clip: two headers and both members' padding; its JSON.
_OVERHEAD = 4096
_SPARE = 64 << 20  # bytes of disk left alone
_MEGABYTE = 1_000_000
_END = bytes(1024)  # of a tar
_KEY = 60  # characters of a file's name in a key: tar has room for 100 in all

_Listed: TypeAlias = tuple[int, Video]  # a clip and its place in the list


def write_shards(
    data: VideoDataModule,
    out: str | Path,
    *,
    shard_mb: float = 256,
    shuffle_seed: int = 0,
    progress: Callable[[list[_Listed]], Iterable[_Listed]] = iter,
) -> bool:
    """Write the shards of a data module's split to `out`; all of them or nothing.

    Args:
        data: names the clips; its own options say which (`videos(stage)`).
        out: a folder that is absent or empty, or holds the very same set.
        shard_mb: megabytes of a shard, at most; a larger clip has one to itself.
        shuffle_seed: seed of the training clips' order.
        progress: wraps the list of clips, to show progress.

    Returns:
        Whether they were written; False where the same set is there already.

    Raises:
        FileNotFoundError, ValueError: the data cannot be read, `out` holds something else, or the
            disk is too full; one line.
    """
    if not shard_mb > 0:
        raise ValueError(f"shard_mb={shard_mb}: above 0")
    need("webdataset", "writing shards")
    out = Path(out)
    source = _source(data, shard_mb, shuffle_seed)
    videos = {part: list(enumerate(data.videos(part))) for part in PARTS}
    random.Random(shuffle_seed).shuffle(videos["train"])
    if _is_there(out, source, videos, data.class_names):
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    _check_space(out.parent, videos)
    lock = out.parent / f".{out.name}.lock"
    try:
        with FileLock(lock, timeout=0):
            try:
                _write_aside(out, source, videos, data.class_names, shard_mb, progress)
            finally:
                lock.unlink(missing_ok=True)
    except Timeout:
        raise ValueError(f"out={str(out)!r}: another process is writing shards there") from None
    return True


def check_shards(
    folder: str | Path,
    progress: Callable[[list[Shard]], Iterable[Shard]] = iter,
) -> list[str]:
    """Read all shards of a folder, and say of each that is not as its index has it what is wrong.

    Args:
        folder: what `write_shards` wrote, or a copy.
        progress: wraps the list of shards, to show progress.

    Raises:
        FileNotFoundError, ValueError: there is no index, or it cannot be read.
    """
    folder = Path(folder)
    index = ShardIndex.loads(_read_index(folder), str(folder / INDEX))
    wrong = []
    for shard in progress([shard for part in PARTS for shard in index.shards[part]]):
        path = folder / shard.name
        if not path.is_file():
            wrong.append(f"{shard.name}: absent")
        elif path.stat().st_size != shard.bytes:
            wrong.append(f"{shard.name}: {path.stat().st_size} bytes, the index has {shard.bytes}")
        else:
            if sha256_of(path) != shard.sha256:
                wrong.append(f"{shard.name}: altered (its SHA-256 is not the index's)")
    return wrong


def _read_index(folder: Path) -> str:
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"{folder}: no {INDEX} in it, so no (whole) set of shards")
    return (folder / INDEX).read_text(encoding="utf-8")


def _source(data: VideoDataModule, shard_mb: float, shuffle_seed: int) -> dict[str, Any]:
    return {
        "dataset": type(data).__name__,
        "folder": data.root.name,
        "split": data.split,
        "shard_mb": shard_mb,
        "shuffle_seed": shuffle_seed,
    }


def _is_there(
    out: Path, source: dict[str, Any], videos: dict[str, list[_Listed]], class_names: list[str]
) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    where = f"out={str(out)!r}"
    if not out.is_dir() or not (out / INDEX).is_file():
        raise ValueError(f"{where}: holds something else than shards; name another folder")
    found = ShardIndex.loads(_read_index(out), str(out / INDEX))
    if found.source != source:
        made = ", ".join(f"{name} {value}" for name, value in found.source.items())
        raise ValueError(f"{where}: holds other shards ({made}); name another folder")
    names = {
        part: [(c.number, str(c.path), c.label, c.group) for c in found.clips[part]]
        for part in PARTS
    }
    now = {
        part: [(n, _listed_name(v, class_names), v.label, v.group) for n, v in videos[part]]
        for part in PARTS
    }
    if names != now or found.class_names != class_names:
        raise ValueError(f"{where}: holds shards of other clips; name another folder")
    return True


def _check_space(folder: Path, videos: dict[str, list[_Listed]]) -> None:
    every = [video for part in PARTS for _, video in videos[part]]
    need = sum(video.path.stat().st_size + _OVERHEAD for video in every) + _SPARE
    free = shutil.disk_usage(folder).free
    if free < need:
        raise ValueError(
            f"out: the shards take {need / 1e9:.2f} GB, {folder} has {free / 1e9:.2f} GB free; "
            "name a folder on another disk"
        )


def _write_aside(
    out: Path,
    source: dict[str, Any],
    videos: dict[str, list[_Listed]],
    class_names: list[str],
    shard_mb: float,
    progress: Callable[[list[_Listed]], Iterable[_Listed]],
) -> None:
    aside = out.parent / f".{out.name}.unfinished"
    shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
    aside.mkdir()
    try:
        writers = {part: _Writer(aside, part, round(shard_mb * _MEGABYTE)) for part in PARTS}
        parts = [part for part in PARTS for _ in videos[part]]
        every = [video for part in PARTS for video in videos[part]]
        for video, part in zip(progress(every), parts):
            writers[part].add(*video, class_names)
        for writer in writers.values():
            writer.close()
        shards = {part: writer.shards for part, writer in writers.items()}
        clips = {part: writer.clips for part, writer in writers.items()}
        text = ShardIndex(source, class_names, shards, clips).dumps()
        with (aside / INDEX).open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if out.exists():
            out.rmdir()  # empty
        os.rename(aside, out)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ValueError(f"out={str(out)!r}: the disk is full; nothing was kept") from None
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class _Writer:
    """Clips of one part, into shard after shard."""

    def __init__(self, folder: Path, part: str, most: int) -> None:
        self.folder, self.part, self.most = folder, part, most
        self.shards: list[Shard] = []
        self.clips: list[ShardClip] = []
        self._file: IO[bytes] | None = None
        self._sha = hashlib.sha256()
        self._count = 0

    def add(self, number: int, video: Video, class_names: list[str]) -> None:
        """Write a clip, to a new shard where this one would grow too large."""
        name, key = _listed_name(video, class_names), _key(number, video.path)
        about = {
            "label": video.label,
            "class": class_names[video.label],
            "group": video.group,
            "name": name,
        }
        members = _members(key, video.path, about)
        if self._file is not None and self._file.tell() + len(members) > self.most:
            self.close()
        if self._file is None:
            path = self.folder / f"{self.part}-{len(self.shards):06d}.tar"
            self._file, self._sha, self._count = path.open("wb"), hashlib.sha256(), 0
        shard, start = Path(self._file.name).name, self._file.tell()
        self._write(members)
        self._count += 1
        place = (number, shard, key, start, len(members), zlib.crc32(members))
        self.clips.append(ShardClip(Path(name), video.label, video.group, *place))

    def close(self) -> None:
        """End the shard that is open."""
        if self._file is None:
            return
        self._write(_END)
        size, name = self._file.tell(), Path(self._file.name).name
        self._file.close()
        self._file = None
        self.shards.append(Shard(name, self._count, size, self._sha.hexdigest()))

    def _write(self, content: bytes) -> None:
        assert self._file is not None
        self._sha.update(content)
        self._file.write(content)


def _members(key: str, path: Path, about: dict[str, Any]) -> bytes:
    """The tar members of a clip."""
    from webdataset import TarWriter

    suffix = path.suffix.lower().removeprefix(".")
    if not re.fullmatch("[a-z0-9]{1,8}", suffix) or suffix == "json":
        suffix = "video"
    buffer = io.BytesIO()
    # Nobody's files, of no time: the same clips give the same bytes.
    tar = TarWriter(buffer, user="", group="", mtime=0, encoder=False)
    tar.write({"__key__": key, suffix: path.read_bytes(), "json": json.dumps(about).encode()})
    size = tar.tarstream.offset
    tar.close()
    return buffer.getvalue()[:size]  # without the end of an archive


def _key(number: int, path: Path) -> str:
    """What WebDataset knows a clip by: unique, and safe in any tar and on any file system.

    It ends at the first dot of a file name, so names with dots would lose their tails and be one
    clip; so would names that differ in what is replaced here, hence the number.
    """
    words = re.sub(r"[^A-Za-z0-9]+", "_", path.stem).strip("_")
    return f"{number:06d}_{words[:_KEY]}".rstrip("_")


def _listed_name(video: Video, class_names: list[str]) -> str:
    return f"{class_names[video.label]}/{video.path.name}"
