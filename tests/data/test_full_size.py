"""UCF101 and HMDB51 with all their official names, and an empty file for each clip."""

import re
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.progress import Progress

from videowino.data import HMDB51, UCF101
from videowino.data.hmdb51 import source_of
from videowino.preparing.index import check_index, count_splits
from videowino.preparing.layout import official_clips
from videowino.preparing.official import BENCHMARKS
from videowino.preparing.prepare import prepare

pytestmark = pytest.mark.data

SECONDS = 4.0  # of processor time; each takes less than half a second on an idle core
UCF_SIZES = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}


def stand_in(folder: Path, shared: Path, name: str) -> Path:
    """A root with the official lists, and a file of one byte for each clip that they name."""
    benchmark = BENCHMARKS[name]
    root = folder / name
    root.mkdir()
    (root / benchmark.lists_folder).symlink_to(shared.resolve() / name / benchmark.lists_folder)
    for clip in official_clips(root, benchmark):
        path = root / "videos" / clip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    return root


@pytest.fixture(scope="module")
def ucf(tmp_path_factory, shared_data):
    return stand_in(tmp_path_factory.mktemp("full"), shared_data, "ucf101")


@pytest.fixture(scope="module")
def hmdb(tmp_path_factory, shared_data):
    return stand_in(tmp_path_factory.mktemp("full"), shared_data, "hmdb51")


@pytest.mark.parametrize("split", [1, 2, 3])
def test_ucf101(ucf, split, recwarn):
    start = time.process_time()
    data = UCF101(root=str(ucf), split=split, missing="error")
    for stage in ("fit", "validate", "test"):
        data.setup(stage)
    assert time.process_time() - start < SECONDS
    assert not recwarn.list
    train, test = data.videos("train"), data.videos("test")
    assert (len(train), len(test)) == UCF_SIZES[split]
    assert data.videos("val") == test
    paths = {video.path for video in train + test}
    assert len(paths) == 13320 and all(path.is_file() for path in paths)
    assert not {v.group for v in train} & {v.group for v in test}
    assert {v.group for v in train + test} == {f"g{number:02d}" for number in range(1, 26)}
    assert len({v.group for v in test}) == 7
    assert Counter(v.label for v in train).keys() == Counter(v.label for v in test).keys()
    for video in train + test:
        assert data.class_names[video.label] == video.path.parent.name


def test_ucf101_classes_and_tests_of_three_splits(ucf):
    data = UCF101(root=str(ucf))
    names = data.class_names
    assert len(names) == data.num_classes == 101
    assert names[:3] == ["ApplyEyeMakeup", "ApplyLipstick", "Archery"]
    assert names[-2:] == ["WritingOnBoard", "YoYo"]
    # The order of classInd.txt, which is the alphabet's but for case.
    assert names == sorted(names, key=str.lower)
    tested = Counter(
        video.group
        for split in (1, 2, 3)
        for video in UCF101(root=str(ucf), split=split).videos("test")
    )
    assert sorted(tested) == [f"g{number:02d}" for number in range(1, 22)]  # 22 to 25 never are


@pytest.mark.parametrize("split", [1, 2, 3])
def test_hmdb51(hmdb, split, recwarn):
    start = time.process_time()
    data = HMDB51(root=str(hmdb), split=split, missing="error")
    for stage in ("fit", "validate", "test"):
        data.setup(stage)
    assert time.process_time() - start < SECONDS
    assert not recwarn.list
    train, test = data.videos("train"), data.videos("test")
    assert (len(train), len(test)) == (3570, 1530)
    assert not {v.path for v in train} & {v.path for v in test}
    assert Counter(Counter(v.label for v in train).values()) == {70: 51}
    assert Counter(Counter(v.label for v in test).values()) == {30: 51}
    assert all(v.path.is_file() and v.group == source_of(v.path) for v in train + test)
    for video in train + test:
        assert data.class_names[video.label] == video.path.parent.name


def test_hmdb51_classes(hmdb):
    names = HMDB51(root=str(hmdb)).class_names
    assert len(names) == 51 and names == sorted(names)
    assert names[:3] == ["brush_hair", "cartwheel", "catch"]
    assert names[-2:] == ["walk", "wave"]


def test_a_group_of_validation_is_whole(ucf):
    """A part of the training list to validate on never shares a group with the rest."""
    data = UCF101(root=str(ucf), val_fraction=0.1)
    start = time.process_time()
    train, val = data.videos("train"), data.videos("val")
    assert time.process_time() - start < SECONDS
    assert not {v.group for v in train} & {v.group for v in val}
    assert len(train) + len(val) == 9537 and 0.05 < len(val) / 9537 < 0.15


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_the_index_of_a_prepared_root(request, name):
    root = request.getfixturevalue(name.removesuffix("101").removesuffix("51"))
    start = time.process_time()
    index = check_index(root, BENCHMARKS[name])
    count_splits(index)
    assert time.process_time() - start < 2 * SECONDS
    assert index.whole and index.splits == list(BENCHMARKS[name].splits)
    gone = root / "videos" / index.listed[7]
    gone.rename(gone.with_suffix(".gone"))
    index = check_index(root, BENCHMARKS[name])
    gone.with_suffix(".gone").rename(gone)
    assert index.missing == [index.listed[7]] and not index.whole


def test_an_absent_clip_is_named(ucf):
    clip = next((ucf / "videos" / "YoYo").iterdir())
    clip.rename(clip.with_suffix(".gone"))
    try:
        with pytest.warns(
            UserWarning,
            match=re.escape(
                f"1 of 13320 listed clips are not on disk and are left out: {clip.name}"
            ),
        ):
            UCF101(root=str(ucf)).setup("fit")
    finally:
        clip.with_suffix(".gone").rename(clip)


def test_a_second_call_finds_all_there(ucf):
    with Progress(disable=True) as progress:
        start = time.process_time()
        index, done = prepare(BENCHMARKS["ucf101"], ucf, progress, may_download=False)
    assert time.process_time() - start < 2 * SECONDS
    assert index.whole and done == [
        "all clips are there; without UCF101.rar their sizes cannot be compared"
    ]
