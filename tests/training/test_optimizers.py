import pytest
import torch
from torch import nn

from videowino.surgery import convert
from videowino.training.optimizers import parameter_groups


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(2, 4, 3, stride=2)
        self.norm = nn.BatchNorm3d(4)
        self.body = nn.Conv3d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)


def groups(parameterization, **options):
    net = Net()
    convert(net, parameterization=parameterization, rank=2)
    found = parameter_groups(net, lr=0.1, weight_decay=0.01, **options)
    names = {id(p): n for n, p in net.named_parameters()}
    return {g["name"]: (sorted(names[id(p)] for p in g["params"]), g) for g in found}


COMMON = ["body.bias", "body.gate", "head.bias", "norm.bias", "norm.weight", "stem.bias"]


@pytest.mark.parametrize(
    ("parameterization", "expected"),
    [
        ("spatial", {"weights": ["body.weight", "head.weight", "stem.weight"]}),
        (
            "low_rank",
            {"weights": ["head.weight", "stem.weight"], "factors": ["body.left", "body.right"]},
        ),
        (
            "factored",
            {"weights": ["head.weight", "stem.weight"], "factors": ["body.left", "body.right"]},
        ),
        ("vanilla", {"weights": ["head.weight", "stem.weight"], "vanilla": ["body.weight"]}),
    ],
)
def test_each_parameter_is_in_its_group(parameterization, expected):
    found = groups(parameterization)
    assert {name: members for name, (members, _) in found.items()} == {
        "no_decay": COMMON,
        **expected,
    }


def test_rates_and_decay():
    low_rank = groups("low_rank", factor_lr_scale=3)
    vanilla = groups("vanilla", vanilla_lr_scale=0.5)
    settings = {
        name: (group["lr"], group["weight_decay"])
        for name, (_, group) in {**low_rank, **vanilla}.items()
    }
    assert settings == {
        "weights": (0.1, 0.01),
        "no_decay": (0.1, 0.0),
        "factors": (pytest.approx(0.3), 0.01),
        "vanilla": (0.05, 0.01),
    }


def test_frozen_and_shared_parameters():
    net = Net()
    net.again = net.head
    net.stem.weight.requires_grad_(False)
    members = [p for g in parameter_groups(net, 0.1, 0.01) for p in g["params"]]
    trained = {p for p in net.parameters() if p.requires_grad}
    assert len(members) == len(trained) and set(members) == trained
    torch.optim.SGD(parameter_groups(net, 0.1, 0.01))  # which refuses duplicates
