"""What is known of UCF101 and HMDB51: archives, checksums, counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Digest(NamedTuple):
    """A published checksum: algorithm, value, and who publishes it."""

    algorithm: str
    value: str
    publisher: str


@dataclass(frozen=True)
class Source:
    """An archive as the set's makers hand it out.

    Attributes:
        file: its name.
        url: where it can be downloaded.
        size: bytes, where known.
        digest: checksum, where one is published.
    """

    file: str
    url: str
    size: int | None = None
    digest: Digest | None = None


@dataclass(frozen=True)
class Benchmark:
    """A data set with official lists.

    Attributes:
        name: as the command line says it.
        title: as people say it.
        page: where a person gets the archives.
        clips: archive of the videos.
        lists: archive of the split lists.
        lists_folder: folder of the lists, in their archive and in a root.
        list_files: how many lists there are.
        videos_folder: folder of the classes in the archive of the videos.
        num_clips: number of clips.
        num_classes: number of classes.
        splits: training and test clips of splits 1, 2 and 3.
        config: a configuration that trains on it.
        card: its page in the repository.
    """

    name: str
    title: str
    page: str
    clips: Source
    lists: Source
    lists_folder: str
    list_files: int
    videos_folder: str
    num_clips: int
    num_classes: int
    splits: tuple[tuple[int, int], ...]
    config: str
    card: str


UCF101 = Benchmark(
    name="ucf101",
    title="UCF101",
    page="https://www.crcv.ucf.edu/data/UCF101.php",
    # No checksum of the archive is published; the size is what the server declares.
    clips=Source(
        "UCF101.rar", "https://www.crcv.ucf.edu/data/UCF101/UCF101.rar", size=6_932_971_618
    ),
    lists=Source(
        "UCF101TrainTestSplits-RecognitionTask.zip",
        "https://www.crcv.ucf.edu/data/UCF101/UCF101TrainTestSplits-RecognitionTask.zip",
        size=113_943,
        digest=Digest(
            "sha256",
            "5c0d1a53b8ed364a2ac830a73f405e51bece7d98ce1254fd19ed4a36b224bd27",
            "TensorFlow Datasets",
        ),
    ),
    lists_folder="ucfTrainTestlist",
    list_files=7,
    videos_folder="UCF-101",
    num_clips=13320,
    num_classes=101,
    splits=((9537, 3783), (9586, 3734), (9624, 3696)),
    config="configs/c3d_ucf101.yaml",
    card="datasets/ucf101.md",
)

HMDB51 = Benchmark(
    name="hmdb51",
    title="HMDB51",
    page="https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/",
    clips=Source(
        "hmdb51_org.rar",
        "https://serre-lab.clps.brown.edu/wp-content/uploads/2013/10/hmdb51_org.rar",
        digest=Digest("md5", "517d6f1f19f215c45cdd4d25356be1fb", "DeepMind's BraVe"),
    ),
    lists=Source(
        "test_train_splits.rar",
        "https://serre-lab.clps.brown.edu/wp-content/uploads/2013/10/test_train_splits.rar",
        digest=Digest(
            "md5", "15e67781e70dcfbdce2d7dbb9b3344b5", "torchvision and DeepMind's BraVe"
        ),
    ),
    lists_folder="testTrainMulti_7030_splits",
    list_files=153,
    videos_folder="hmdb51",
    num_clips=6766,
    num_classes=51,
    splits=((3570, 1530),) * 3,
    config="configs/c3d_hmdb51.yaml",
    card="datasets/hmdb51.md",
)

BENCHMARKS = {benchmark.name: benchmark for benchmark in (UCF101, HMDB51)}
