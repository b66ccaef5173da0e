"""Every backbone by name: shapes, options, and what is refused."""

import pytest
import torch
from torch import nn

from videowino.models import create_model, list_models, registry

ALL = [
    "c3d",
    "i3d",
    "i3d_r50",
    "mc3_18",
    "r2plus1d_18",
    "r3d_10",
    "r3d_18",
    "r3d_34",
    "s3d",
    "slowfast_r50",
    "x3d_s",
]


def tiny(name: str, classes: int = 5, **options) -> nn.Module:
    width = {} if name == "s3d" else {"width": 0.125}
    return create_model(name, classes, **width, **options).eval()


def test_names():
    assert list_models() == ALL


@pytest.mark.parametrize("name", ALL)
def test_small_clips_and_single_frames(name):
    model = tiny(name)
    with torch.no_grad():
        for size in ((2, 3, 8, 32, 32), (1, 3, 1, 17, 23), (1, 3, 5, 31, 40)):
            logits = model(torch.randn(size))
            assert logits.shape == (size[0], 5)
            assert logits.isfinite().all()


@pytest.mark.parametrize("name", ALL)
def test_clips_of_a_batch_do_not_mix(name):
    model = tiny(name)
    clips = torch.randn(3, 3, 8, 32, 32)
    with torch.no_grad():
        together = model(clips)
        alone = torch.cat([model(clip[None]) for clip in clips])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in ALL if n != "s3d"])
def test_in_channels(name):
    first = next(m for m in tiny(name, in_channels=2).modules() if isinstance(m, nn.Conv3d))
    assert first.in_channels == 2


@pytest.mark.parametrize("name", ALL)
def test_dropout_before_the_classifier(name):
    def rates(model: nn.Module) -> list[float]:
        return [m.p for m in model.modules() if isinstance(m, nn.Dropout) and m.p]

    assert set(rates(tiny(name, dropout=0.3))) == {0.3}
    assert rates(tiny(name, dropout=0.0)) == []
    resnet = name.startswith(("r3d", "mc3", "r2plus1d"))
    own = 0 if resnet else {"s3d": 0.2}.get(name, 0.5)
    assert set(rates(tiny(name))) == ({own} if own else set())


@pytest.mark.parametrize("name", ["r3d_18", "c3d", "i3d"])
def test_dropout_adds_no_keys(name):
    assert list(tiny(name, dropout=0.3).state_dict()) == list(tiny(name).state_dict())


@pytest.mark.parametrize("name", [n for n in ALL if n != "s3d"])
def test_state_dict_round_trip(name):
    clip = torch.randn(1, 3, 8, 32, 32)
    torch.manual_seed(1)
    one = tiny(name)
    torch.manual_seed(2)
    other = tiny(name)
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert torch.equal(one(clip), other(clip))


@pytest.mark.parametrize("name", ALL)
def test_gradients_reach_every_parameter(name):
    model = tiny(name).train()
    model(torch.randn(2, 3, 16, 48, 48)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    first = next(m for m in model.modules() if isinstance(m, nn.Conv3d))
    assert first.weight.grad.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "r3d18"},
            r"backbone='r3d18' is unknown; did you mean 'r3d_18'\? known: c3d, i3d",
        ),
        ({"name": "R3D-18"}, "did you mean 'r3d_18'"),
        ({"name": "xyz"}, "backbone='xyz' is unknown; known: c3d, i3d, i3d_r50"),
        ({"num_classes": 0}, "num_classes=0 must be at least 1"),
        ({"width": 0}, "width=0 must be above 0"),
        ({"width": -1.0}, "width=-1.0 must be above 0"),
        ({"in_channels": 0}, "in_channels=0 must be at least 1"),
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
        ({"stem": "tiny"}, "stem='tiny' must be 'default' or 'small'"),
        (
            {"name": "s3d", "width": 0.5},
            "width=0.5: s3d does not take it; these do: c3d, i3d, i3d_r50, mc3_18, r2plus1d_18",
        ),
        (
            {"name": "c3d", "stem": "small"},
            "stem='small': c3d does not take it; these do: mc3_18, r2plus1d_18, r3d_10, r3d_18",
        ),
    ],
)
def test_misuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_model(**{"name": "r3d_18", "num_classes": 5, **arguments})


def test_register_model(monkeypatch):
    monkeypatch.setattr(registry, "_BACKBONES", dict(registry._BACKBONES))

    @registry.register_model("mine", head="1")
    def mine(num_classes, width=1.0):
        return nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes))

    assert "mine" in list_models()
    assert create_model("mine", 7)(torch.randn(2, 3, 1, 2, 2)).shape == (2, 7)
    with pytest.raises(ValueError, match="in_channels=1: mine does not take it"):
        create_model("mine", 7, in_channels=1)
    with pytest.raises(ValueError, match="the name 'mine' is taken"):
        registry.register_model("mine", head="1")(mine)
