import pytest
import torch

from videowino.training import WinogradConfig, load_classifier, load_datamodule
from videowino.winograd import winograd_layers

LOW_RANK = WinogradConfig(rank=2, tile=(2, 2, 2), include=["layer1*"])


@pytest.fixture
def save(make_classifier, make_trainer, data, tmp_path):
    def make(data=data, **options):
        classifier = make_classifier(**options)
        for layer in winograd_layers(classifier).values():
            mask = torch.arange(layer.columns) % 2 == 0
            layer.set_column_mask(mask)
        trainer = make_trainer(max_epochs=1)
        trainer.fit(classifier, datamodule=data)
        trainer.save_checkpoint(tmp_path / "x.ckpt")
        return classifier, tmp_path / "x.ckpt"

    return make


@pytest.mark.parametrize("winograd", [None, LOW_RANK], ids=["dense", "low_rank"])
def test_classifier_comes_back_whole(winograd, save):
    classifier, path = save(winograd=winograd, dropout=0.1)
    loaded = load_classifier(path)
    assert dict(loaded.hparams) == dict(classifier.hparams)
    assert not any(module.training for module in loaded.modules())
    x = torch.randn(2, 3, 4, 16, 16)
    assert torch.equal(loaded(x), classifier.eval()(x))
    layers = winograd_layers(loaded)
    assert len(layers) == (4 if winograd else 0)
    assert all(layer.columns_kept == 32 for layer in layers.values())


def test_the_weights_it_started_from_are_not_needed(make_classifier, save, tmp_path):
    torch.save(make_classifier().model.state_dict(), tmp_path / "dense.pt")
    _, path = save(weights=str(tmp_path / "dense.pt"), winograd=LOW_RANK)
    (tmp_path / "dense.pt").unlink()
    assert len(winograd_layers(load_classifier(path))) == 4


def test_lightning_loads_it_too(make_classifier, save):
    classifier, path = save(winograd=LOW_RANK)
    loaded = type(classifier).load_from_checkpoint(path)
    assert loaded.hparams["winograd"] == classifier.hparams["winograd"]


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt: no such checkpoint"):
        load_classifier(tmp_path / "none.ckpt")
    with pytest.raises(FileNotFoundError, match=r"is a folder; give the \.ckpt file"):
        load_classifier(tmp_path)


def test_not_a_checkpoint(tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_text("hello")
    with pytest.raises(ValueError, match=r"x\.ckpt.* is no PyTorch checkpoint"):
        load_classifier(path)
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"no checkpoint of a VideoClassifier.*model\.weights"):
        load_classifier(path)


def test_truncated(save):
    _, path = save()
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(ValueError, match="or is cut short"):
        load_classifier(path)


def test_keys_that_do_not_fit_are_listed(save):
    _, path = save()
    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint["state_dict"]
    state["model.extra"] = state.pop("model.fc.bias")
    state["model.fc.weight"] = state["model.fc.weight"][:, :3].clone()
    torch.save(checkpoint, path)
    with pytest.raises(ValueError) as raised:
        load_classifier(path)
    assert str(raised.value) == (
        f"{path}: its weights do not fit its own network: missing (1): model.fc.bias; "
        "unexpected (1): model.extra; mis-shaped (1): model.fc.weight (6, 3), not (6, 64)"
    )


def test_many_keys_are_counted(save):
    _, path = save()
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["hyper_parameters"]["backbone"] = "mc3_18"
    checkpoint["state_dict"] = {"model.x": torch.zeros(1)}
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"missing \(\d+\): (model\.[\w.]+(, )?){8} and \d+ more;"):
        load_classifier(path)


def test_of_another_version(save):
    _, path = save()
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["hyper_parameters"]["colour"] = "blue"
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"another version of videowino .*colour"):
        load_classifier(path)


def test_datamodule_comes_back_with_overrides(save, data):
    _, path = save(data=type(data)(root="a", count=8, views=3))
    loaded = load_datamodule(path, root="b")
    assert type(loaded) is type(data)
    assert dict(loaded.hparams) == {"root": "b", "count": 8, "views": 3, "batch_size": 4}


def test_unknown_data_option(save):
    _, path = save()
    with pytest.raises(ValueError, match=r"'data\.rot' of TinyData; did you mean 'data\.root'\?"):
        load_datamodule(path, rot="b")


def test_a_checkpoint_does_not_choose_what_is_imported(save, tmp_path, monkeypatch):
    _, path = save()
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["datamodule_class"] = "evil.Data"
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"was trained on evil\.Data; import evil first"):
        load_datamodule(path)
    checkpoint["datamodule_class"] = "videowino.data.Nothing"
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match="which this version does not have"):
        load_datamodule(path)


def test_trained_without_a_datamodule(make_classifier, make_trainer, data, tmp_path):
    trainer = make_trainer(max_epochs=1)
    trainer.fit(make_classifier(), data.train_dataloader(), data.val_dataloader())
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match="was trained without a data module"):
        load_datamodule(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("part", "value", "match"),
    [
        (
            "hyper_parameters",
            {"backbone": "r3d_10", "clips_at_once": "x"},
            "settings that mean not",
        ),
        ("hyper_parameters", {"backbone": 0.5}, r"x\.ckpt|backbone=0\.5"),
        ("hyper_parameters", {"backbone": "r3d_10", "width": 1e9}, "width=1000000000.0 must be"),
        ("hyper_parameters", 3, "no checkpoint of a VideoClassifier"),
        ("state_dict", {"model.fc.weight": 3, "x": torch.zeros(1)}, "no checkpoint of a VideoCl"),
    ],
)
def test_contents_that_mean_nothing(part, value, match, save):
    _, path = save()
    checkpoint = torch.load(path, weights_only=True)
    torch.save(checkpoint | {part: value}, path)
    with pytest.raises(ValueError, match=match):
        load_classifier(path)


@pytest.mark.parametrize(
    ("part", "value", "match"),
    [
        ("datamodule_class", 0.5, "names no data that it was trained on"),
        ("datamodule_class", "videowino.daata.UCF101", "which this version does not have"),
        ("datamodule_hyper_parameters", 0.5, "holds no settings of its data"),
        ("datamodule_hyper_parameters", {"frames": "x"}, "settings that mean nothing"),
    ],
)
def test_data_that_means_nothing(part, value, match, save):
    _, path = save()
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["datamodule_class"] = "videowino.data.SyntheticMotion"
    checkpoint["datamodule_hyper_parameters"] = {"root": "none"}
    torch.save(checkpoint | {part: value}, path)
    with pytest.raises(ValueError, match=match):
        load_datamodule(path)
