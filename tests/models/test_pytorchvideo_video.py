"""pytorchvideo's builders: its own state dicts, logits, pathways, and its absence."""

import importlib
import subprocess
import sys

import pytest
import torch
from torch import nn

from videowino.models import create_model
from videowino.models.pytorchvideo_video import SlowFast

HUBS = {"i3d_r50": "resnet", "slowfast_r50": "slowfast", "x3d_s": "x3d"}


@pytest.mark.parametrize("name", HUBS)
def test_width_one_is_pytorchvideos(name):
    hub = importlib.import_module(f"pytorchvideo.models.hub.{HUBS[name]}")
    with torch.device("meta"):
        ours = create_model(name, 400).state_dict()
        theirs = getattr(hub, name)().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize("name", ["i3d_r50", "slowfast_r50"])
def test_published_clips_give_pytorchvideos_logits(name):
    hub = importlib.import_module(f"pytorchvideo.models.hub.{HUBS[name]}")
    stems = {"stem_dim_out": 8} if name == "i3d_r50" else {"stem_dim_outs": (8, 1)}
    theirs = getattr(hub, name)(model_num_class=5, **stems).eval()
    ours = create_model(name, 5, width=0.125).eval()
    ours.load_state_dict(theirs.state_dict())
    frames = 8 if name == "i3d_r50" else 32
    clip = torch.randn(1, 3, frames, 224, 224)
    slow = clip[:, :, [0, 4, 8, 13, 17, 22, 26, 31]] if frames == 32 else None
    with torch.no_grad():
        expected = theirs(clip) if slow is None else theirs([slow, clip])
        assert torch.equal(ours(clip), expected)
        if slow is not None:
            assert torch.equal(ours([slow, clip]), expected)


def test_x3d_returns_logits_not_probabilities():
    model = create_model("x3d_s", 5, width=0.25).eval()
    nn.init.constant_(model.blocks[5].proj.bias, 3.0)
    with torch.no_grad():
        assert model(torch.randn(1, 3, 4, 32, 32)).sum() > 1.5


@pytest.mark.parametrize(("frames", "slow"), [(32, 8), (8, 2), (9, 3), (3, 1), (1, 1)])
def test_slowfast_pathways(frames, slow):
    clip = torch.arange(float(frames)).reshape(1, 1, frames, 1, 1)
    pathways = SlowFast.pathways(clip)
    assert torch.equal(pathways[1], clip)
    picked = pathways[0].flatten().tolist()
    assert len(picked) == slow
    assert picked[0] == 0
    assert slow == 1 or picked[-1] == frames - 1


def test_missing_pytorchvideo_says_what_to_install():
    code = """
import sys
sys.modules["pytorchvideo"] = None
from videowino.models import create_model
create_model("r3d_18", 2, width=0.125)
try:
    create_model("i3d_r50", 2)
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pip install 'videowino[pytorchvideo]'" in done.stdout
