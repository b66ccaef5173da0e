"""The ResNets and S3D against torchvision's own."""

import pytest
import torch
from torch import nn

from videowino.compat import torchvision
from videowino.models import create_model

NAMES = ["r3d_18", "mc3_18", "r2plus1d_18", "s3d"]


@pytest.mark.parametrize("name", NAMES)
def test_width_one_is_torchvisions(name):
    with torch.device("meta"):
        ours = create_model(name, 400)
        theirs = torchvision.models.get_model(name, num_classes=400)
    shapes = {k: v.shape for k, v in ours.state_dict().items()}
    assert shapes == {k: v.shape for k, v in theirs.state_dict().items()}
    published = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    assert sum(p.numel() for p in ours.parameters()) == published
    assert str(ours.get_submodule(LAST[name])) == str(theirs.get_submodule(LAST[name]))


LAST = {"r3d_18": "layer4", "mc3_18": "layer4", "r2plus1d_18": "layer4", "s3d": "features.15"}


def test_published_counts():
    counts = {}
    with torch.device("meta"):
        for name in ("r3d_18", "mc3_18", "r2plus1d_18", "s3d", "r3d_34"):
            counts[name] = sum(p.numel() for p in create_model(name, 400).parameters())
    assert counts == {
        "r3d_18": 33_371_472,
        "mc3_18": 11_695_440,
        "r2plus1d_18": 31_505_325,
        "s3d": 8_320_048,
        "r3d_34": 63_681_104,
    }


@pytest.mark.parametrize("name", ["mc3_18", "r2plus1d_18"])
def test_same_seed_same_network_same_logits(name):
    torch.manual_seed(3)
    ours = create_model(name, 7).eval()
    torch.manual_seed(3)
    theirs = torchvision.models.get_model(name, num_classes=7).eval()
    clip = torch.randn(1, 3, 4, 24, 24)
    with torch.no_grad():
        assert torch.equal(ours(clip), theirs(clip))


def test_s3d_equals_torchvisions_where_that_runs():
    torch.manual_seed(3)
    ours = create_model("s3d", 7).eval()
    torch.manual_seed(3)
    theirs = torchvision.models.get_model("s3d", num_classes=7).eval()
    for norm in theirs.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.running_var.fill_(0.1)
    ours.load_state_dict(theirs.state_dict())
    clip = torch.randn(1, 3, 16, 225, 257)
    with torch.no_grad():
        expected = theirs(clip)
        assert 1e-4 < expected.std() < 1e4
        assert torch.equal(ours(clip), expected)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("r3d_10", [1, 1, 1, 1]), ("r3d_18", [2, 2, 2, 2]), ("r3d_34", [3, 4, 6, 3])],
)
def test_blocks_a_stage(name, blocks):
    model = create_model(name, 5, width=0.125)
    assert [len(getattr(model, f"layer{i}")) for i in (1, 2, 3, 4)] == blocks
    convs = sum(isinstance(m, nn.Conv3d) and max(m.kernel_size) > 1 for m in model.modules())
    assert convs + 1 == int(name.removeprefix("r3d_"))  # and the classifier


def test_width_scales_every_layer():
    model = create_model("r2plus1d_18", 5, width=0.5)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv3d)]
    assert [c.out_channels for c in convs[:2]] == [24, 32]
    assert model.layer2[0].conv1[0][3].out_channels == 64
    # torchvision's rule for the channels between the 1x3x3 and the 3x1x1 taps
    assert model.layer2[0].conv1[0][0].out_channels == 32 * 64 * 27 // (32 * 9 + 3 * 64)
    assert model.fc.in_features == 256


def test_small_stem():
    for name, expected in (
        ("r3d_18", [(3, 3, 3)]),
        ("mc3_18", [(3, 3, 3)]),
        ("r2plus1d_18", [(1, 3, 3), (3, 1, 1)]),
    ):
        model = create_model(name, 5, width=0.25, stem="small")
        convs = [m for m in model.stem if isinstance(m, nn.Conv3d)]
        assert [c.kernel_size for c in convs] == expected
        assert convs[0].stride == (1, 2, 2)
        assert model.stem(torch.randn(1, 3, 5, 20, 21)).shape == (1, 16, 5, 10, 11)
