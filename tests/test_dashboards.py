import json
import runpy
import sys
from pathlib import Path

import pytest
import yaml

DASHBOARDS = Path(__file__).parents[1] / "dashboards"


def script():
    return runpy.run_path(str(DASHBOARDS / "workspace.py"))


def test_the_workspace_has_accuracy_against_time_with_the_front(capsys):
    pytest.importorskip("wandb_workspaces")
    script()["main"](["--entity", "me", "--print"])
    text = capsys.readouterr().out
    spec = json.loads(text)
    sections = spec["spec"]["section"]["panelBankConfig"]["sections"]
    named = {section["name"]: section["panels"] for section in sections}
    assert list(named)[:4] == ["Accuracy and speed", "Training", "Columns", "Predictions"]
    front = named["Accuracy and speed"][0]["config"]
    assert front["xAxis"].endswith("speedup/ms") and front["yAxis"].endswith("final/video_top1")
    assert front["showMaxYAxisLine"] is True
    for metric in ("val/video_top1", "columns/sparsity", "val/confusion", "val/clips"):
        assert metric in text


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(ValueError, match="needs wandb-workspaces; `pip install"):
        script()["main"](["--entity", "me", "--print"])


def test_what_the_sweep_tries_are_options_of_train(tmp_path, capsys):
    from train import main

    sweep = yaml.safe_load((DASHBOARDS / "sweep.yaml").read_text())
    fixed = [part for part in sweep["command"] if part.startswith("--")]
    fixed = [p for p in fixed if "weights" not in p and "offline" not in p and "overlay" not in p]
    assert set(sweep["parameters"]) >= {"model.winograd.rank", "sparsity", "model.winograd.tile"}
    choices = {name: about["values"] for name, about in sweep["parameters"].items()}
    for place in range(max(map(len, choices.values()))):
        picked = [f"--{n}={values[min(place, len(values) - 1)]}" for n, values in choices.items()]
        with pytest.raises(SystemExit):
            main(["fit", *fixed, *picked, "--print_config"])
        config = yaml.safe_load(capsys.readouterr().out)
        assert config["model"]["winograd"]["rank"] in choices["model.winograd.rank"]
        assert config["sparsity"] in choices["sparsity"]
        assert config["score"] in choices["score"]
