"""C3D: size, the published network on its own clips, public key names."""

import torch
import torch.nn.functional as F

from videowino.models import create_model
from videowino.models.c3d import rename_public

CONVS = {
    "conv1": (3, 64),
    "conv2": (64, 128),
    "conv3a": (128, 256),
    "conv3b": (256, 256),
    "conv4a": (256, 512),
    "conv4b": (512, 512),
    "conv5a": (512, 512),
    "conv5b": (512, 512),
}
LINEARS = {"fc6": (8192, 4096), "fc7": (4096, 4096), "fc8": (4096, 487)}


def test_keys_and_shapes_of_the_sports1m_weights():
    with torch.device("meta"):
        state = create_model("c3d", 487).state_dict()
    expected = {}
    for name, (inputs, outputs) in CONVS.items():
        expected[f"{name}.weight"] = (outputs, inputs, 3, 3, 3)
        expected[f"{name}.bias"] = (outputs,)
    for name, (inputs, outputs) in LINEARS.items():
        expected[f"{name}.weight"] = (outputs, inputs)
        expected[f"{name}.bias"] = (outputs,)
    assert {k: tuple(v.shape) for k, v in state.items()} == expected
    convolutions = sum(27 * i * o + o for i, o in CONVS.values())
    assert convolutions == 27_655_936
    linears = sum(i * o + o for i, o in LINEARS.values())
    assert sum(v.numel() for v in state.values()) == convolutions + linears == 79_991_015


def test_published_clips_go_through_the_published_network():
    model = create_model("c3d", 5, width=0.125).eval()
    w = model.state_dict()
    clip = torch.randn(2, 3, 16, 112, 112)

    def conv(x, name):
        return F.conv3d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1).relu()

    def fc(x, name):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    x = F.max_pool3d(conv(clip, "conv1"), (1, 2, 2), (1, 2, 2))
    x = F.max_pool3d(conv(x, "conv2"), 2, 2)
    x = F.max_pool3d(conv(conv(x, "conv3a"), "conv3b"), 2, 2)
    x = F.max_pool3d(conv(conv(x, "conv4a"), "conv4b"), 2, 2)
    x = F.max_pool3d(conv(conv(x, "conv5a"), "conv5b"), 2, 2, padding=(0, 1, 1))
    assert x.shape == (2, 64, 1, 4, 4)
    expected = fc(fc(fc(x.flatten(1), "fc6").relu(), "fc7").relu(), "fc8")
    with torch.no_grad():
        torch.testing.assert_close(model(clip), expected)


def test_longer_and_larger_clips_are_averaged_to_the_grid_of_fc6():
    model = create_model("c3d", 5, width=0.125).eval()
    seen = []
    model.fc6.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.pool5.register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.no_grad():
        model(torch.randn(1, 3, 32, 224, 224))
    assert seen[0].shape == (1, 64, 2, 8, 8)
    blocks = seen[0].reshape(1, 64, 2, 4, 2, 4, 2).mean((2, 4, 6))
    torch.testing.assert_close(seen[1], blocks.flatten(1))


def test_public_key_names_become_ours():
    tensor = torch.zeros(1)
    with torch.device("meta"):
        ours = set(create_model("c3d", 487).state_dict())
    sequential = {f"features.{i}" for i in (0, 3, 6, 8, 11, 13, 16, 18)}
    sequential |= {f"classifier.{i}" for i in (0, 3, 6)}
    mmaction = {f"backbone.conv{n}.conv" for n in "1a 2a 3a 3b 4a 4b 5a 5b".split()}
    mmaction |= {"backbone.fc6", "backbone.fc7", "cls_head.fc_cls"}
    for modules in (sequential, mmaction, set(CONVS) | set(LINEARS)):
        state = {f"{m}.{leaf}": tensor for m in modules for leaf in ("weight", "bias")}
        assert set(rename_public(state)) == ours
    assert set(rename_public({"features.6.weight": tensor})) == {"conv3a.weight"}
    assert set(rename_public({"conv5b.conv.bias": tensor})) == {"conv5b.bias"}
