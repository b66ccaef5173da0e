import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.study import __main__ as study_main
from benchmarks.study.__main__ import main
from benchmarks.study.cost import compared, forget_peak, peak_mb
from benchmarks.study.grid import Cell, Study, expand, read_study
from benchmarks.study.summary import points
from benchmarks.study.table import cost_table, curve_table
from benchmarks.study.training import DENSE, Runs, train_all
from tests.data.conftest import write_lists
from videowino.data.synthetic import write_video
from videowino.evaluation.spread import Spread
from videowino.training.checkpoint import read_checkpoint

CONFIGS = Path(__file__).parents[2] / "configs" / "study"
HERE = Path("x.yaml")


def test_lists_are_combined():
    cells = expand({"method": "low_rank", "rank": [2, 8], "sparsity": [0, 0.5]}, HERE)
    assert [c.name for c in cells] == ["low_rank-r2-0", "low_rank-r2-50"] + [
        "low_rank-r8-0",
        "low_rank-r8-50",
    ]
    (cell,) = expand({"method": "vanilla", "sparsity": 0.875, "tile": [2, 2, 2]}, HERE)
    assert cell == Cell("vanilla", 0.875, tile=(2, 2, 2))
    assert (cell.name, cell.title) == ("vanilla-2x2x2-87.5", "vanilla, F(2x2x2)")
    two = expand({"method": "spatial", "tile": [[2, 2, 2], [2, 4, 4]]}, HERE)
    assert [c.tile for c in two] == [(2, 2, 2), (2, 4, 4)]
    (cell,) = expand({"method": "low_rank", "rank": 0.9, "speedup": 2.5, "label": "a b"}, HERE)
    assert cell.name == "low_rank-r0.9-2.5x-a_b"
    options = {"model.lr": [0.1, 0.2], "data.clips": 3}
    one, two = expand({"method": "dense", "label": "a", "options": options}, HERE)
    assert one.options == (("data.clips", "3"), ("model.lr", "0.1"))
    assert (one.title, two.title) == ("dense, a, lr 0.1", "dense, a, lr 0.2")


def test_cells_of_another_study():
    assert (
        read_study(CONFIGS / "avletters_full.yaml").cells
        == read_study(CONFIGS / "synthetic_full.yaml").cells
    )


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_studies_that_are_here_can_be_read(path):
    study = read_study(path)
    assert len(study.cells) > 5 and study.seeds and study.splits


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"method": "magic"}, "method=magic: one of dense, filters"),
        ({"method": "vanilla", "rank": 3}, "vanilla has no rank"),
        ({"method": "vanilla", "sparsity": 1.5}, r"sparsity=1\.5: from 0 to below 1"),
        ({"method": "vanilla", "speedup": 0}, "speedup=0: above 0"),
        ({"method": "factored", "rank": "abc"}, "rank=abc: a whole number, or a share"),
        ({"method": "factored", "rank": 1.5}, r"rank=1\.5: a whole number, or a share"),
        ({"method": "vanilla", "sparse": 3}, "cells have no 'sparse'; they have method, sparsity"),
    ],
)
def test_entries_that_mean_nothing(entry, message):
    with pytest.raises(ValueError, match=message):
        expand(entry, HERE)


def test_files_that_are_not_there_and_keys_that_mean_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="config=.*none.yaml: no such file"):
        read_study(tmp_path / "none.yaml")
    path = tmp_path / "a.yaml"
    base = {"splits": [1], "seeds": [0], "cells": [{"method": "dense"}]}
    files = dict.fromkeys(("dense", "tune", "columns", "filters"), "a.yaml")
    for change, message in (
        ({"dense": "b.yaml"}, "dense=b.yaml: no such file"),
        ({"colour": 1}, "colour is unknown"),
        ({"cells": [{"method": "dense"}] * 2}, "two cells are dense; give one a label"),
        ({"cells": [{"method": "spatial", "overlay": "c.yaml"}]}, "overlay=c.yaml: no such file"),
        ({"cells": "d.yaml"}, "cells=d.yaml: no such file"),
        ({"part": "train"}, "part=train: test or val"),
        ({"splits": 1}, r"splits=1: a list of whole numbers, as \[1, 2\]"),
        ({"seeds": ["a"]}, r"seeds=\['a'\]: a list of whole numbers"),
        ({"cells": [{"method": "spatial"}]}, "no plain 'method: dense'"),
        ({"cells": [{"method": "dense", "label": "long"}]}, "no plain 'method: dense'"),
    ):
        path.write_text(yaml.safe_dump(base | files | change))
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            read_study(path)
    path.write_text(yaml.safe_dump(base))
    with pytest.raises(ValueError, match="dense is missing"):
        read_study(path)


def test_an_overlay_lies_beside_the_study(tmp_path):
    (tmp_path / "base").mkdir()
    for name in ("base/columns.yaml", "time.yaml", "other.yaml"):
        (tmp_path / name).write_text("{}")
    files = dict.fromkeys(("dense", "tune", "filters"), "other.yaml")
    cells = [{"method": "dense"}, {"method": "spatial", "overlay": "time.yaml"}]
    content = {"splits": [1], "seeds": [0], "cells": cells, "columns": "base/columns.yaml"}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content | files))
    study = read_study(tmp_path / "a.yaml")
    assert study.configs(study.cells[1])[-1] == tmp_path / "time.yaml"


def runs_of(tmp_path, *cells, seeds=(0,)):
    paths = dict.fromkeys(("dense", "tune", "columns", "filters", "folder"), tmp_path)
    return Runs(Study("a", **paths, splits=(1,), seeds=seeds, cells=cells), tmp_path / "out")


def test_dense_networks_are_trained_first_and_nothing_after_an_error(tmp_path, monkeypatch):
    cells = [Cell("dense"), Cell("vanilla", 0.5), *(Cell("spatial", n / 10) for n in range(4))]
    runs = runs_of(tmp_path, *cells, seeds=(0, 1))
    trained, done = [], []

    def train(self, place, cell, threads, env):
        trained.append(cell.name)
        if cell.method == "vanilla":
            raise ValueError("vanilla failed")
        if cell.method == "spatial":
            time.sleep(0.3)  # a training takes longer than to see that another failed

    monkeypatch.setattr(Runs, "train", train)
    with pytest.raises(ValueError, match="vanilla failed"):
        train_all(runs, 1, 2, done.append)
    assert trained[:4] == [DENSE.name, DENSE.name, "dense", "vanilla-50"]
    assert len(trained) <= 5  # the next has begun before the error is seen
    assert done[0] == "split 1, seed 0: dense-start"


def test_commands_that_train(tmp_path):
    cell = Cell("low_rank", 0.75, rank=8, tile=(2, 2, 2), options=(("model.lr", "0.1"),))
    runs = runs_of(tmp_path, cell)
    command = " ".join(runs.command((1, 2), cell))
    assert "--model.winograd.rank 8 --model.winograd.tile [2,2,2] --sparsity 0.75" in command
    assert "--seed_everything 2 --data.seed 2 --data.split 1 --model.lr 0.1" in command
    assert f"--model.weights {runs.checkpoint((1, 2), DENSE)}" in command
    by_speed = " ".join(runs.command((1, 2), Cell("vanilla", speedup=2.5)))
    assert by_speed.count("--speedup 2.5") == 1 and "--sparsity" not in by_speed
    filters = " ".join(runs.command((1, 2), Cell("filters", 0.5)))
    assert "--trainer.callbacks.init_args.sparsity 0.5" in filters
    assert "--model.weights" not in " ".join(runs.command((1, 2), DENSE))


def test_steps_are_compared_at_one_sparsity_as_far_as_there_are():
    cells = [Cell("dense"), Cell("filters", 0.75), Cell("low_rank", speedup=2.0, rank=8)]
    cells += [Cell("low_rank", sparsity, rank=8) for sparsity in (0, 0.5, 0.75)]
    cells += [Cell("vanilla", 0.75), Cell("vanilla", 0.75, label="lr 0.1"), Cell("spatial", 0.5)]
    cells += [Cell("factored", 0.75, rank=8)]
    names = ["dense", "low_rank-r8-75", "vanilla-75", "spatial-50", "factored-r8-75"]
    assert [cell.name for cell in compared(cells)] == names
    assert [cell.name for cell in compared([Cell("dense"), Cell("filters", 0.5)])] == ["dense"]
    costs = {"dense": {"pruned": 0.0}, "low_rank 8": {"pruned": 0.75}}
    for cost in costs.values():
        cost |= {"trainable": 1234, "step_ms": 5.4, "memory_mb": 6.6}
    assert cost_table(costs).splitlines()[2:] == [
        "| dense |  | 1,234 | 5 ms | 7 MB |",
        "| low_rank 8 | 75 % | 1,234 | 5 ms | 7 MB |",
    ]


def test_a_network_that_was_trained_again_is_measured_again(tmp_path, monkeypatch):
    measured = []

    def measure(runs, place, console):
        measured.append(runs.study.part)
        return [{"cell": {"name": "dense"}}]

    monkeypatch.setattr(study_main, "measure", measure)
    runs = runs_of(tmp_path, Cell("dense"))
    for cell in (DENSE, Cell("dense")):
        runs.checkpoint((1, 0), cell).parent.mkdir(parents=True)
        runs.checkpoint((1, 0), cell).write_bytes(b"trained once")
    for _ in range(2):
        assert study_main._rows(runs, (1, 0), None) == [{"cell": {"name": "dense"}}]
    assert measured == ["test"]
    runs.checkpoint((1, 0), DENSE).write_bytes(b"trained again")
    study_main._rows(runs, (1, 0), None)
    study_main._rows(Runs(replace(runs.study, part="val"), runs.out), (1, 0), None)
    assert measured == ["test", "test", "val"]


def test_several_studies_are_run_one_after_another(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(study_main, "run_study", lambda study, out, **_: ran.append((study, out)))
    both = [str(CONFIGS / f"{name}_study.yaml") for name in ("synthetic", "survfight")]
    main(["--config", *both])
    assert [study.name for study, _ in ran] == ["synthetic_study", "survfight_study"]
    assert ran[1][1] == Path("runs/study/survfight_study").absolute()
    for option in ("--root", "--out"):
        with pytest.raises(ValueError, match=f"{option[2:]}=.*: is that of one study"):
            main(["--config", *both, option, str(tmp_path)])


def row(name, split, top1, speedup, **cell):
    given = {"name": name, "title": name, "method": name, "sparsity": 0.5, "speedup": None}
    cell = given | {"label": ""} | cell
    more = {
        "speedup_fastest": speedup / 2,
        "trainable": 10,
        "columns_kept": 0.5,
        "ms": 12 / speedup,
    }
    return {"cell": cell, "split": split, "seed": 0, "video_top1": top1, "speedup": speedup} | more


def test_means_and_losses_are_by_split_and_seed():
    rows = [row("dense", 1, 90.0, 1.0), row("a", 1, 88.0, 4.0)]
    rows += [row("dense", 2, 80.0, 1.2), row("a", 2, 80.0, 6.0)]
    dense, a = points(rows)
    assert dense.lost == Spread(0, 0)
    assert (a.accuracy.mean, a.lost.mean, a.speedup.mean) == (84.0, 1.0, 5.0)
    assert (a.speedup_fastest, a.rows) == (2.5, 2)
    assert a.lost.spread == pytest.approx(2**0.5)
    assert a.accuracy.spread == pytest.approx(4 * 2**0.5)
    assert "| a | 50 % | 84.0 ± 5.7 | +1.0 ± 1.4 | 5.00 ± 1.41x | 2.50x |" in curve_table([a])
    (alone,) = points([row("dense", 1, 90.0, 1.0)])
    assert "| dense |  | 90.0 |  | 1.00x | 0.50x |" in curve_table([alone])


def test_against_filters_in_the_same_time():
    # 12, 6 and 2 ms; what PyTorch runs in 3 ms is no rival of what is deployed.
    rows = [row("dense", 1, 90.0, 1.0), row("half", 1, 88.0, 2.0, method="filters")]
    rows += [row("quarter", 1, 80.0, 6.0, method="filters")]
    rows += [row("theirs", 1, 10.0, 4.0, method="filters", label="in PyTorch")]
    rows += [row("a", 1, 86.0, 3.0)]  # 4 ms, where filters have 84
    rows += [row("b", 1, 86.0, 12.0)]  # faster than any of them
    rows += [row("dense", 2, 90.0, 1.0), row("half", 2, 80.0, 3.0, method="filters")]
    rows += [row("a", 2, 86.0, 1.5)]  # 8 ms, half-way from 12 to 4: 85
    found = {point.cell["name"]: point for point in points(rows)}
    over = found["a"].over_filters
    assert (over.mean, over.spread) == (pytest.approx(1.5), pytest.approx(0.5**0.5))
    assert [found[name].over_filters for name in ("dense", "half", "theirs", "b")] == [None] * 4
    assert "| +1.5 ± 0.7 | 10 |" in curve_table([found["a"]])
    assert "| 1.25x |  | 10 |" in curve_table([found["half"]])
    rows += [row("dense", 3, 90.0, 1.0), row("half", 3, 80.0, 3.0, method="filters")]
    rows += [row("a", 3, 10.0, 4.0)]  # 3 ms, faster than theirs: in no comparison
    a = next(point for point in points(rows) if point.cell["name"] == "a")
    assert "| +1.5 ± 0.7 (2 of 3) | 10 |" in curve_table([a])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="is measured on Linux")
def test_memory_is_the_highest_since_it_was_forgotten():
    np.ones(20 << 20).sum()  # 160 MB, which are not to count
    forget_peak()
    before = peak_mb()
    held = np.ones(8 << 20)
    del held
    assert 60 < peak_mb() - before < 80  # 64 MB
    forget_peak()
    assert peak_mb() < before + 20


@pytest.fixture
def tiny(tmp_path):
    """A data set of two classes, and a study of it with every method."""
    root = tmp_path / "clips"
    rng = np.random.default_rng(0)
    for label in range(3):
        (root / "videos" / f"C{label}").mkdir(parents=True)
        for group in range(4):
            frames = rng.integers(0, 80, (6, 32, 32, 3), dtype=np.uint8) + np.uint8(70 * label)
            write_video(root / "videos" / f"C{label}" / f"v_C{label}_g{group:02d}_c01.avi", frames)
    return write_lists(root, test_groups=(0,))


@pytest.mark.slow
def test_a_study_from_end_to_end(tiny, tmp_path, capsys):
    folder = tmp_path / "configs"
    folder.mkdir()
    for name in ("columns.yaml", "filters.yaml"):
        shutil.copy(CONFIGS / "parts" / name, folder)
    init = {"root": str(tiny), "frames": 4, "size": [24, 24], "resize": None, "mean": None}
    init |= {"batch_size": 4, "num_workers": 0}
    model = {"backbone": "r3d_10", "width": 0.125, "stem": "small", "lr": 0.01}
    data = {"class_path": "VideoFolder", "init_args": init}
    dense = {"trainer": {"max_epochs": 2}, "model": model, "data": data}
    (folder / "dense.yaml").write_text(yaml.safe_dump(dense))
    (folder / "tune.yaml").write_text(yaml.safe_dump({"trainer": {"max_epochs": 2}}))
    cells = [
        {"method": "dense"},
        {"method": "filters", "sparsity": 0.5},
        {"method": "low_rank", "rank": 2, "sparsity": 0.5},
        {"method": "vanilla", "sparsity": 0.75, "tile": [2, 2, 2]},
    ]
    study = {"splits": [1], "seeds": [0, 1], "cells": cells}
    study["options"] = {"data.val_fraction": 0.67}
    study |= {key: f"{key}.yaml" for key in ("dense", "tune", "columns", "filters")}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(study))
    out, docs = tmp_path / "out", tmp_path / "docs" / "results.md"
    docs.parent.mkdir()
    docs.write_text("a\n<!-- study tiny -->\n<!-- /study tiny -->\nb\n")
    args = ["--config", str(folder / "tiny.yaml"), "--out", str(out), "--docs", str(docs)]
    main(args)
    result = json.loads((out / "results.json").read_text())
    assert len(result["rows"]) == 2 * 6 and len(result["points"]) == 5
    by_name = {p["cell"]["name"]: p for p in result["points"]}
    assert by_name["low_rank-r2-50"]["columns_kept"] == pytest.approx(0.5)
    assert by_name["vanilla-2x2x2-75"]["columns_kept"] == pytest.approx(0.25)
    assert by_name["low_rank-r2-50"]["trainable"] < by_name["vanilla-2x2x2-75"]["trainable"]
    assert by_name["filters-50"]["rows"] == 2 and by_name["dense"]["lost"]["mean"] == 0
    twin = by_name["filters-50-in_PyTorch"]
    assert twin["accuracy"] == by_name["filters-50"]["accuracy"] and twin["speedup"]["mean"] > 0
    assert all(cost["memory_mb"] > 0 for cost in result["costs"].values())
    assert set(result["costs"]) == {"dense", "low_rank 2", "vanilla, F(2x2x2)"}
    text = docs.read_text()
    assert "| low_rank 2 | 50 % |" in text and (docs.parent / "images/study_tiny.png").is_file()
    trained = out / "split1-seed0" / "dense" / "checkpoints" / "last.ckpt"
    before = trained.stat().st_mtime_ns, read_checkpoint(trained)["global_step"]
    main(args)  # nothing is done again
    assert (trained.stat().st_mtime_ns, before[1]) == before
    # Four groups of three clips: one tests, two validate.
    assert {row["videos"] for row in result["rows"]} == {3}
    assert "test videos: 3 (split 1)" in text and result["rows"][0]["part"] == "test"
    config = yaml.safe_load((trained.parents[1] / "config.yaml").read_text())
    assert config["data"]["init_args"]["val_fraction"] == 0.67
    (folder / "tiny.yaml").write_text(yaml.safe_dump(study | {"part": "val"}))
    main(args)
    assert "validation videos: 6 (split 1)" in docs.read_text()
    (folder / "tune.yaml").write_text(yaml.safe_dump({"trainer": {"max_epochs": 3}}))
    with pytest.raises(ValueError, match="outcome of another command or configuration"):
        main(args)
