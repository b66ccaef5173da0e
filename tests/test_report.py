import pytest
import torch
from torch import nn

import videowino
from videowino.report import quantity, report


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv3d(3, 4, 3, stride=2, padding=1, bias=False)
        self.b = nn.Conv3d(4, 4, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 7)

    def forward(self, x):
        x = self.b(self.b(self.a(x)))
        return self.fc(self.drop(x.mean((2, 3, 4))))


CLIP = torch.zeros(2, 3, 4, 12, 10)
# a: outputs 2 x 4 x 2x6x5, 81 multiplications each; b, used twice: 2 x 4 x 2x6x5, 108 each.
A, B, FC = 2 * 4 * 60 * 81, 2 * (2 * 4 * 60 * 108), 2 * 4 * 7
# F(2x4x4): 1x2x2 tiles of 144 positions, 16 products of channels each.
B_WINOGRAD = 2 * (2 * 4 * 144 * 16)


def test_counts_of_a_dense_network():
    counts = videowino.count(Net(), CLIP)
    assert counts.parameters == counts.trainable == 4 * 3 * 27 + 4 * 4 * 27 + 4 + 28 + 7
    assert counts.multiplications == counts.multiplications_dense == A + B + FC


@pytest.mark.parametrize("kept", [144, 36])
def test_counts_of_a_winograd_network(kept):
    net = Net()
    videowino.convert(net, parameterization="low_rank", rank=4)
    net.b.set_column_mask(torch.arange(144) < kept)
    counts = videowino.count(net, CLIP)
    assert counts.multiplications_dense == A + B + FC
    assert counts.multiplications == A + B_WINOGRAD * kept / 144 + FC
    extra = 4 * (16 + 144) + 144  # factors and gate
    assert counts.parameters == 4 * 3 * 27 + 4 * 4 * 27 + 4 + 28 + 7 + extra
    assert counts.trainable == 4 * 3 * 27 + 4 + 28 + 7 + extra


def test_counting_leaves_no_trace():
    net = Net()
    net.drop.eval()
    state = torch.get_rng_state()
    videowino.count(net, CLIP)
    assert net.training and not net.drop.training
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(m._forward_hooks for m in net.modules())


def test_report_per_output_without_an_example():
    net = Net()
    rows = videowino.convert(net).layers
    assert [row.name for row in rows] == ["a", "b"]
    assert rows[0].multiplications == 81 * 4
    assert rows[1].multiplications_dense == 108 * 4
    assert rows[1].multiplications == 144 * 16 / 32


def test_eligible_share(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    net = Net()
    result = videowino.convert(net, example=CLIP)
    assert result.eligible_share == pytest.approx(B / (A + B))
    assert f"with {B / (A + B):.1%} of the dense multiplications" in str(result)


@pytest.mark.parametrize("width", [64, 80, 100, 120, 160])
@pytest.mark.parametrize("example", [CLIP, None])
def test_the_table_fits_the_terminal(monkeypatch, width, example):
    monkeypatch.setenv("COLUMNS", str(width))
    text = str(videowino.convert(Net(), example=example))
    assert max(map(len, text.splitlines())) <= width
    words = ["layer", "columns", "multiplications", "now", "144/144", "stride 2x2x2"]
    for header, least in {"tile": 80, "trained": 100, "parameters": 120, "trainable": 160}.items():
        words += [header] * (width >= least)
    assert not [word for word in words if word not in text.replace("\n", " ")]
    assert "…" not in text


def test_an_empty_report_prints():
    assert "0 of 0 convolutions" in str(report(nn.Linear(1, 1)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (512, "512"), (1234, "1.23 K"), (45.6e6, "45.6 M"), (7.891e9, "7.89 G")],
)
def test_quantity(value, text):
    assert quantity(value) == text
