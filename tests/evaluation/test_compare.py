"""A whole comparison, on networks whose outcome is known."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from videowino.data import Video
from videowino.evaluation.compare import REFERENCE_NOTE, _unsteady, compare
from videowino.evaluation.comparison import Speed, read_comparison
from videowino.evaluation.networks import Network
from videowino.surgery import convert, prune

CLASSES = 8
FRAMES = (3, 4, 8, 8)


class Data:
    """16 videos of two views; class n is what lights up channel-wise mean n."""

    num_classes = CLASSES
    class_names = [f"class {n}" for n in range(CLASSES)]
    hparams = {"root": "nowhere", "split": 2}

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.samples = [
            {
                "clip": torch.randn(2, *FRAMES, generator=generator),
                "label": n % CLASSES,
                "video": n,
            }
            for n in range(16)
        ]

    def videos(self, stage):
        return [Video(Path(f"{s['video']}.avi"), s["label"], "") for s in self.samples]

    def test_dataloader(self):
        return DataLoader(self.samples, batch_size=5)

    def take_bad(self, batch):
        return batch


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv3d(8, 8, 3, padding=1, bias=False),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(8, CLASSES),
    )


@pytest.fixture(scope="module")
def result():
    exact, half = network(), network()
    convert(exact, parameterization="spatial")
    convert(half, parameterization="low_rank", rank=2)
    prune(half, 0.5)
    networks = [
        Network("dense", "dense", network(), "dense.ckpt"),
        Network("exact Winograd", "exact", exact),
        Network("half", "checkpoint", half, "half.ckpt"),
    ]
    return compare(networks, Data(), batch_sizes=[1, 2], layers=True, budget=0.0, threads=1)


def test_exact_is_dense_to_the_clip(result):
    dense, exact, _ = result.rows
    assert exact.accuracy.clips_changed == 0
    assert exact.accuracy.clip_top1 == dense.accuracy.clip_top1
    assert exact.accuracy.video_top5 == dense.accuracy.video_top5
    assert dense.accuracy.clips_changed is None
    assert "Exact Winograd classifies 32 of 32 clips as dense does." in result.notes
    by_reference = result.environment.winograd == "reference"
    assert (REFERENCE_NOTE in result.notes) == by_reference


def test_accuracy_is_that_of_the_network(result):
    data, model = Data(), network().eval()
    with torch.inference_mode():
        views = torch.stack([model(s["clip"]).softmax(-1) for s in data.samples])
    label = torch.tensor([s["label"] for s in data.samples])
    video = (views.mean(1).argmax(-1) == label).float().mean().item() * 100
    clip = (views.argmax(-1) == label[:, None]).float().mean().item() * 100
    top5 = (views.mean(1).topk(5).indices == label[:, None]).any(1).float().mean().item() * 100
    accuracy = result.rows[0].accuracy
    assert accuracy.video_top1 == pytest.approx(video)
    assert accuracy.clip_top1 == pytest.approx(clip)
    assert accuracy.video_top5 == pytest.approx(top5)


def test_predictions_are_those_of_the_network(result):
    data, model, said = Data(), network().eval(), result.predictions
    with torch.inference_mode():
        views = torch.stack([model(s["clip"]).softmax(-1) for s in data.samples]).mean(1)
    assert said.videos == [f"{n}.avi" for n in range(16)]
    assert said.labels == [n % CLASSES for n in range(16)]
    assert said.class_names == data.class_names
    assert said.predicted["dense"] == views.argmax(-1).tolist()
    assert said.probability["dense"] == pytest.approx(views.amax(-1).tolist(), rel=1e-4)
    assert list(said.predicted) == [row.name for row in result.rows]


def test_a_file_is_read_as_it_was_written(result, tmp_path):
    result.save_json(tmp_path / "new" / "results.json")
    assert read_comparison(tmp_path / "new" / "results.json") == result


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "not what `evaluate.py compare --json` writes"),
        ("{", "not what `evaluate.py compare --json` writes"),
        ('{"rows": [], "data": {}, "environment": {}}', "not what `evaluate.py compare"),
    ],
)
def test_other_files_are_refused(content, message, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_comparison(path)
    with pytest.raises(FileNotFoundError, match="comparison=.*no such file"):
        read_comparison(tmp_path / "none.json")


def test_figures_without_networks_or_times_are_refused(comparison, tmp_path):
    path = tmp_path / "figures.json"
    comparison.save_json(path)
    assert read_comparison(path) == comparison
    first, *others = comparison.rows
    for rows, message in (
        ([], "it has no networks"),
        ([replace(first, speed=[]), *others], "times are missing"),
        ([first, replace(others[0], speed=first.speed[:1])], "times are missing"),
    ):
        replace(comparison, rows=rows).save_json(path)
        with pytest.raises(ValueError, match=message):
            read_comparison(path)


def test_size_by_hand(result):
    dense, exact, half = result.rows
    filters = 27 * (3 * 8 + 8 * 8)
    rest = 8 + 8 * CLASSES + CLASSES  # bias, linear layer
    assert dense.parameters == dense.trainable == filters + rest
    assert exact.parameters == filters + rest + 2 * 144  # gates
    factors = 2 * (3 * 8 + 8 * 8 + 2 * 144)  # s (C_out C_in + P)
    assert half.trainable == factors + rest + 2 * 144
    assert half.parameters == filters + factors + rest + 2 * 144
    outputs = 4 * 8 * 8
    assert dense.multiplications == filters * outputs + 8 * CLASSES
    tiles = 2 * 2 * 2
    assert exact.multiplications == 144 * tiles * (3 * 8 + 8 * 8) + 8 * CLASSES
    assert half.multiplications == 72 * tiles * (3 * 8 + 8 * 8) + 8 * CLASSES
    assert half.multiplications_dense == dense.multiplications
    assert [row.columns_kept for row in result.rows] == [None, 1.0, 0.5]


def test_times_are_against_the_baseline(result):
    dense, *others = result.rows
    assert result.batch_sizes == [1, 2]
    assert [speed.speedup for speed in dense.speed] == [1.0, 1.0]
    for row in others:
        for own, base in zip(row.speed, dense.speed):
            assert own.speedup == pytest.approx(base.ms_per_clip / own.ms_per_clip)
            assert own.repeats >= 5
    assert [(entry.layer, entry.batch_size) for entry in result.layers] == [
        ("0", 1),
        ("2", 1),
        ("0", 2),
        ("2", 2),
    ]
    assert set(result.layers[0].ms_per_clip) == {"dense", "exact Winograd", "half"}


def test_how_it_was_timed_is_stated(result):
    dense, *others = result.rows
    assert {speed.form for row in others for speed in row.speed} == {"deployed"}
    for speed in dense.speed:
        path, _, layout = speed.form.partition(", ")
        assert path in ("eager", "oneDNN")
        assert layout in ("channels first", "channels last")


def test_what_it_was_measured_on(result):
    assert (result.data.videos, result.data.views) == (16, 2)
    assert result.data.clip_shape == FRAMES
    assert (result.data.root, result.data.split) == ("nowhere", 2)
    assert result.environment.threads == 1


def test_untrained_networks_have_times_and_no_accuracy():
    networks = [
        Network("dense", "dense", network(), trained=False),
        Network("own", "checkpoint", network(), "own.ckpt"),
    ]
    result = compare(networks, Data(), batch_sizes=[1], budget=0.0)
    assert result.rows[0].accuracy is None
    assert result.rows[1].accuracy.clips_changed is None
    assert result.rows[1].speed[0].speedup > 0
    assert REFERENCE_NOTE not in result.notes  # no Winograd layer ran


def test_unsteady_times_are_told(comparison):
    assert _unsteady(comparison.rows) == []  # iqr 3 ms of 100 / 2.5 = 40 ms: 7.5 %
    row = replace(comparison.rows[2], speed=[Speed(8, 10.0, 4.0, 5, 1.0, "eager")])
    (note,) = _unsteady([comparison.rows[0], row])
    assert "half, batch 8 has an inter-quartile range of 40 % of its median" in note


def test_batch_size_below_one():
    with pytest.raises(ValueError, match="batch_sizes: -2 is no batch size"):
        compare([Network("a", "dense", network())], Data(), batch_sizes=[-2])
