"""Which networks are compared, under which names, on what data."""

import pytest
import pytorch_lightning as pl
import torch
import yaml

from videowino.data import VideoFolder
from videowino.evaluation.networks import data_of, gather, unfinished
from videowino.surgery import prune
from videowino.training.classifier import VideoClassifier
from videowino.training.hyperparameters import plain
from videowino.winograd import winograd_layers

CLASSES = 3
SWAP = {"parameterization": "low_rank", "rank": 2, "tile": (2, 2, 2)}


@pytest.fixture
def root(tmp_path):
    """Three classes in UCF101's layout with two splits; listing them needs no frames."""
    root = tmp_path / "clips"
    (root / "splits").mkdir(parents=True)
    names = ["A", "B", "C"]
    index = "".join(f"{n} {name}\n" for n, name in enumerate(names, 1))
    (root / "splits" / "classInd.txt").write_text(index)
    lists = {"train01": (1, 2), "test01": (3,), "train02": (2, 3), "test02": (1,)}
    for part, groups in lists.items():
        lines = ""
        for label, name in enumerate(names, 1):
            (root / "videos" / name).mkdir(parents=True, exist_ok=True)
            for group in groups:
                clip = f"{name}/v_{name}_g{group:02d}_c01.avi"
                (root / "videos" / clip).write_bytes(b"x")
                lines += f"{clip} {label}\n" if part.startswith("train") else f"{clip}\n"
        (root / "splits" / f"{part[:-2]}list{part[-2:]}.txt").write_text(lines)
    return root


@pytest.fixture
def save(tmp_path, root):
    """Saves a small network as its training would; returns the path."""

    def save(name, winograd=None, sparsity=None, data=None, **options):
        torch.manual_seed(1)
        options = dict(backbone="r3d_18", num_classes=CLASSES, width=0.0625) | options
        classifier = VideoClassifier(**options, winograd=winograd)
        if sparsity is not None:
            prune(classifier.model, sparsity)
        module = VideoFolder(root=str(root), **({"frames": 4, "size": (16, 16)} | (data or {})))
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(
            {
                "pytorch-lightning_version": pl.__version__,
                "state_dict": classifier.state_dict(),
                "hyper_parameters": plain(dict(classifier.hparams)),
                "datamodule_class": f"{VideoFolder.__module__}.VideoFolder",
                "datamodule_hyper_parameters": plain(dict(module.hparams)),
            },
            path,
        )
        return path

    return save


def test_baseline_comes_first_and_exact_second(save):
    dense = save("runs/base/checkpoints/last.ckpt")
    half = save("runs/half/checkpoints/last.ckpt", winograd=SWAP, sparsity=0.5)
    other = save("runs/half/checkpoints/epoch3.ckpt", winograd=SWAP, sparsity=0.25)
    networks = gather([half, other], baseline=dense, exact=True)
    assert [n.name for n in networks] == ["base", "exact Winograd", "half", "half/epoch3"]
    assert [n.kind for n in networks] == ["dense", "exact", "checkpoint", "checkpoint"]
    kinds = [n.parameterization for n in networks]
    assert kinds == [None, "spatial", "low_rank", "low_rank"]
    assert [n.checkpoint for n in networks] == [str(dense), None, str(half), str(other)]
    assert all(n.trained for n in networks)
    tiles = {layer.tile.m for layer in winograd_layers(networks[1].model).values()}
    assert tiles == {(2, 2, 2)}  # the tile of the checkpoints
    x = torch.randn(2, 3, 4, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(networks[1].model(x), networks[0].model(x), rtol=1e-4, atol=1e-5)


def test_a_dense_checkpoint_among_the_others_is_the_baseline(save):
    half = save("half.ckpt", winograd=SWAP, sparsity=0.5)
    dense = save("dense.ckpt")
    assert [n.name for n in gather([half, dense])] == ["dense", "half"]


def test_without_a_dense_one_the_twin_is_there_for_its_time(save):
    half = save("half.ckpt", winograd=SWAP, sparsity=0.5)
    twin, exact, own = gather([half], exact=True)
    assert not twin.trained
    assert not exact.trained
    assert own.trained
    assert not winograd_layers(twin.model)
    assert len(winograd_layers(exact.model)) == len(winograd_layers(own.model)) > 0
    dense = {n: p.shape for n, p in gather([save("dense.ckpt")])[0].model.named_parameters()}
    assert {n: p.shape for n, p in twin.model.named_parameters()} == dense


def test_names_that_meet_become_paths(save):
    paths = [save("a/last.ckpt"), save("b/last.ckpt", winograd=SWAP)]
    assert [n.name for n in gather(paths)] == [str(path) for path in paths]


def test_misuse(save, tmp_path):
    dense = save("dense.ckpt")
    half = save("half.ckpt", winograd=SWAP, sparsity=0.5)
    with pytest.raises(ValueError, match="checkpoints: give at least one"):
        gather([])
    with pytest.raises(ValueError, match="is given twice"):
        gather([dense, dense])
    with pytest.raises(ValueError, match=r"baseline=.*half.ckpt: has Winograd layers"):
        gather([dense], baseline=half)
    with pytest.raises(FileNotFoundError, match="none.ckpt: no such checkpoint"):
        gather([tmp_path / "none.ckpt"])
    with pytest.raises(ValueError, match=r"mc3.ckpt: is of another network \(backbone='mc3_18'\)"):
        gather([save("mc3.ckpt", backbone="mc3_18")], baseline=dense)
    with pytest.raises(ValueError, match=r"\(num_classes=4\) than .*dense.ckpt \(num_classes=3\)"):
        gather([save("four.ckpt", num_classes=4)], baseline=dense)


def test_data_are_those_of_the_baseline_with_typed_overrides(save):
    networks = gather([save("dense.ckpt", data={"split": 2}), save("h.ckpt", winograd=SWAP)])
    with pytest.warns(UserWarning, match=r"trained with data.size=\[16, 16\], and is evaluated"):
        data = data_of(networks[:1], clips=3, size=[12, 16])
    assert (data.split, data.clips, data.hparams["frames"]) == (2, 3, 4)
    assert data.hparams["size"] == (12, 16)
    assert [v.path.name for v in data.videos("test")] == [f"v_{c}_g01_c01.avi" for c in "ABC"]
    with pytest.raises(ValueError, match=r"unknown option 'data.clip' .*did you mean 'data.clips'"):
        data_of(networks, clip=3)
    with pytest.raises(ValueError, match=r"data.clips: Expected a int"):
        data_of(networks, clips="many")


def test_a_network_that_trained_on_the_test_videos_is_told_of(save):
    networks = gather([save("dense.ckpt"), save("leak.ckpt", winograd=SWAP, data={"split": 2})])
    with pytest.warns(UserWarning, match=r"leak.ckpt: was trained on 3 of the 3 test videos"):
        data_of(networks)


def test_clips_made_otherwise_are_told_of(save):
    networks = gather([save("dense.ckpt"), save("h.ckpt", winograd=SWAP, data={"frames": 8})])
    with pytest.warns(UserWarning, match=r"h.ckpt: was trained with data.frames=8, and is eval"):
        data_of(networks)
    other = save("b.ckpt", winograd=SWAP, data={"subtract_background": True, "mean": None})
    with pytest.warns(
        UserWarning, match=r"b.ckpt: was trained with .*data.subtract_background=True"
    ):
        data_of(gather([networks[0].checkpoint, other]))


def test_data_of_another_class_count(save, root):
    networks = gather([save("four.ckpt", num_classes=4)])
    with pytest.raises(ValueError, match="has 3 classes and .*four.ckpt was trained for 4"):
        data_of(networks, root=str(root))


@pytest.mark.parametrize(
    ("epoch", "whole", "trainer", "said"),
    [
        (2, True, {"max_epochs": 10}, "run is of a training that ended in epoch 3 of 10."),
        (9, False, {"max_epochs": 10}, "run is of a training that ended in epoch 10 of 10."),
        (9, True, {"max_epochs": 10}, None),
        (2, True, {"max_epochs": -1}, None),
        (2, True, None, None),
    ],
)
def test_a_training_that_ended_early_is_told(save, tmp_path, epoch, whole, trainer, said):
    path = save("run/checkpoints/last.ckpt")
    loops = {"fit_loop": {"epoch_loop.batch_progress": {"is_last_batch": whole}}}
    torch.save(torch.load(path) | {"epoch": epoch, "loops": loops}, path)
    (network,) = gather([path])
    assert unfinished(network) is None  # no run folder
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump({"trainer": trainer}))
    assert unfinished(network) == said


def test_one_checkpoint_under_two_names_is_one(save, tmp_path, monkeypatch):
    path = save("runs/base/checkpoints/last.ckpt")
    monkeypatch.chdir(tmp_path)
    short = "runs/base/checkpoints/last.ckpt"
    assert [n.checkpoint for n in gather([short], baseline=path)] == [str(path)]
    with pytest.raises(ValueError, match="last.ckpt is given twice"):
        gather([short, path])
