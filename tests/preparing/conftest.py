"""Benchmarks in miniature and their archives, and roots of full size with empty clips."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from rich.progress import Progress

from tests.preparing.rar import stored, write_rar
from videowino.preparing.official import BENCHMARKS, HMDB51, UCF101, Benchmark

CLASSES = ("Jump", "Run")
HMDB_CLASSES = ("draw_sword", "golf")


@pytest.fixture
def progress():
    with Progress(disable=True) as bars:
        yield bars


@pytest.fixture
def small(monkeypatch):
    """The official facts, of sets with two classes; nothing is known of their archives."""

    def known(benchmark: Benchmark, **facts) -> Benchmark:
        blank = {
            part: replace(getattr(benchmark, part), size=None, digest=None)
            for part in ("clips", "lists")
        }
        return replace(benchmark, num_classes=2, **blank, **facts)

    ucf = known(UCF101, num_clips=8, splits=((6, 2),) * 3)
    hmdb = known(HMDB51, num_clips=6, splits=((4, 2),) * 3, list_files=6)
    monkeypatch.setitem(BENCHMARKS, "ucf101", ucf)
    monkeypatch.setitem(BENCHMARKS, "hmdb51", hmdb)
    return {"ucf101": ucf, "hmdb51": hmdb}


def ucf_names() -> list[str]:
    return [f"{c}/v_{c}_g{group:02d}_c01.avi" for c in CLASSES for group in range(1, 5)]


def content(name: str) -> bytes:
    """Different for each clip."""
    return name.encode() * 100


def ucf_lists() -> dict[str, str]:
    lists = {"classInd.txt": "".join(f"{i} {c}\r\n" for i, c in enumerate(CLASSES, 1))}
    for split in (1, 2, 3):
        test = [name for name in ucf_names() if f"_g{split:02d}_" in name]
        train = [name for name in ucf_names() if name not in test]
        numbered = [f"{name} {1 + CLASSES.index(name.split('/')[0])}" for name in train]
        lists[f"trainlist{split:02d}.txt"] = "\r\n".join(numbered) + "\r\n"
        lists[f"testlist{split:02d}.txt"] = "\r\n".join(test) + "\r\n"
    return lists


def write_ucf(folder: Path, clips: dict[str, bytes] | None = None) -> Path:
    """UCF101.rar and the .zip of its lists."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / UCF101.lists.file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, text in ucf_lists().items():
            zipped.writestr(f"ucfTrainTestlist/{name}", text)
        zipped.writestr("__MACOSX/ucfTrainTestlist/._classInd.txt", "x")
    files = clips if clips is not None else {name: content(name) for name in ucf_names()}
    write_rar(folder / UCF101.clips.file, {f"UCF-101/{name}": d for name, d in files.items()})
    return folder


def hmdb_names() -> list[str]:
    odd = "Film!_(a+b)"
    return [f"{c}/{odd}_{n}_{c}_f_cm_np1_le_med_{n}.avi" for c in HMDB_CLASSES for n in range(3)]


def write_hmdb(folder: Path, **inner: bytes) -> Path:
    """hmdb51_org.rar with a .rar a class in it, and the .rar of the lists."""
    archives = {}
    for name in HMDB_CLASSES:
        clips = {clip: content(clip) for clip in hmdb_names() if clip.startswith(f"{name}/")}
        archives[f"{name}.rar"] = inner.get(name) or stored(clips)
    write_rar(folder / HMDB51.clips.file, archives)
    lists = {}
    for split in (1, 2, 3):
        for name in HMDB_CLASSES:
            clips = [clip.split("/")[1] for clip in hmdb_names() if clip.startswith(f"{name}/")]
            lines = [f"{c} {2 if n == split - 1 else 1} \r\n" for n, c in enumerate(clips)]
            lists[f"testTrainMulti_7030_splits/{name}_test_split{split}.txt"] = "".join(
                lines
            ).encode()
    write_rar(folder / HMDB51.lists.file, lists)
    return folder


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()
