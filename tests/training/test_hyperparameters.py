import pytest

from videowino.training import WinogradConfig
from videowino.training.hyperparameters import check_same_network, plain


def test_checkpoint_of_another_network_names_both(make_classifier):
    saved = {"hyper_parameters": dict(make_classifier().hparams)}
    other = make_classifier(backbone="mc3_18", winograd=WinogradConfig(rank=4))
    with pytest.raises(ValueError, match=r"x\.ckpt: holds another network \(backbone='r3d_18'"):
        check_same_network(saved, dict(other.hparams), "x.ckpt")
    with pytest.raises(
        ValueError, match=r"configured \(backbone='mc3_18', winograd=.*model\.weights"
    ):
        check_same_network(saved, dict(other.hparams), "x.ckpt")
    with pytest.raises(ValueError, match="no checkpoint of a VideoClassifier"):
        check_same_network({}, dict(other.hparams), "x.ckpt")
    check_same_network(saved, dict(make_classifier(lr=1.0).hparams), "x.ckpt")


def test_checkpoints_from_before_an_option_have_its_default(make_classifier):
    hparams = dict(make_classifier(winograd=WinogradConfig(rank=4)).hparams)
    older = {name: value for name, value in hparams["winograd"].items() if name != "strided"}
    saved = {"hyper_parameters": hparams | {"winograd": older}}
    check_same_network(saved, hparams, "x.ckpt")
    other = dict(make_classifier(winograd=WinogradConfig(rank=4, strided=True)).hparams)
    with pytest.raises(ValueError, match="holds another network"):
        check_same_network(saved, other, "x.ckpt")


def test_plain_types(tmp_path):
    assert plain({"a": (1, tmp_path), 2: None}) == {"a": [1, str(tmp_path)], "2": None}
