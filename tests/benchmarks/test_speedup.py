import json

import pytest

from benchmarks import speedup


def test_what_was_asked_for_stands_beside_what_is_deployed(monkeypatch, tmp_path, capsys):
    def meet(network, target, budget, console):
        figures = {"network": network, "target": target, "speedup": 1.05 * target}
        return figures | {"dense_ms": 10.0, "ms": 1.0, "columns_kept": 0.25}

    monkeypatch.setattr(speedup, "meet", meet)
    docs = tmp_path / "method.md"
    docs.write_text("a <!-- speedup targets --> b <!-- /speedup targets --> c")
    file = tmp_path / "new" / "speedup.json"
    options = ["--networks", "[r3d_18,r3d_10]", "--targets", "[4]", "--small_targets", "[2]"]
    speedup.main([*options, "--json", str(file), "--docs", str(docs)])
    assert "| r3d_18 | 4x | 4.20x | +5.0 % | 25 % |" in docs.read_text()
    assert "| r3d_10 | 2x | 2.10x | +5.0 % | 25 % |" in docs.read_text()
    assert [row["target"] for row in json.loads(file.read_text())["rows"]] == [4.0, 2.0]
    docs.write_text("no place")
    with pytest.raises(ValueError, match="has no place for speedup targets"):
        speedup.main(["--docs", str(docs)])
