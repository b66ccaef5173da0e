import json

import pytest
import torch

from benchmarks import blocks
from benchmarks.layers import Layer
from videowino.kernels import native

LAYER = Layer(40, 16, (3, 3, 3), (1, 1, 1), (4, 8, 8))
pytestmark = pytest.mark.skipif(native.library() is None, reason="the kernels were not built")


def test_both_ways_take_equally_many_multiplications(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(blocks, "layers", lambda names: {LAYER: names})
    file = tmp_path / "new" / "blocks.json"
    blocks.main(["--shares", "[0.5]", "--threads", "[1]", "--budget", "0", "--json", str(file)])
    (row,) = json.loads(file.read_text())["rows"]
    assert row["multiplied"]["block"] == pytest.approx(row["multiplied"]["column"], rel=0.1)
    assert row["kept"]["block"] >= row["kept"]["column"] == 72
    assert 0 < row["error"]["block"] < 1 and row["ms"]["block"] > 0
    assert "blocks over columns" in capsys.readouterr().out
    with pytest.raises(ValueError, match="network='vgg' is unknown"):
        blocks.main(["--network", "vgg"])
    with pytest.raises(ValueError, match="match='nothing'"):
        blocks.main(["--match", "nothing"])


def test_trained_like_channels_are_uneven_and_filters_smooth():
    even, uneven = (blocks.trained_like(LAYER, spread).weight for spread in (0.0, 1.0))
    spread = [w.flatten(2).norm(dim=(0, 2)).log().std().item() for w in (even, uneven)]
    assert spread[0] < 0.1 and spread[1] > 0.7
    near = torch.corrcoef(torch.stack([even[..., 0].flatten(), even[..., 1].flatten()]))[0, 1]
    assert near > 0.5
