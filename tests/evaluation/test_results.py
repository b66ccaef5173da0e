"""The study over splits: its commands, its arithmetic, its table, and what it does not repeat."""

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import once, results
from benchmarks.results import Study, split_groups, study
from benchmarks.results_table import DENSE, LOW_RANK, VANILLA, collect, table, write_between
from videowino.evaluation.spread import spread_of

TOP1 = {
    1: {"dense": 57.5, "half": 56.0, "quarter": 50.0},
    2: {"dense": 46.5, "half": 47.0, "quarter": 41.5},
    4: {"dense": 70.0, "half": 69.0, "quarter": 60.0},
}


def figures_of(split):
    """What evaluate.py compare --json writes, as far as it is read."""
    rows = [
        {
            "name": name,
            "accuracy": {"video_top1": top1, "clip_top1": top1 - 2},
            "trainable": 1000 if name == "dense" else 250,
            "multiplications": {"dense": 600, "half": 60, "quarter": 30}[name],
            "multiplications_dense": 600,
            "speed": [{"batch_size": 1, "speedup": {"dense": 1.0, "half": 0.5}.get(name, 0.8)}],
        }
        for name, top1 in TOP1[split].items()
    ]
    rows.insert(1, rows[0] | {"name": "exact Winograd"})
    return {
        "rows": rows,
        "data": {"videos": 100 + split, "views": 6, "num_classes": 26, "clip_shape": [3, 16, 8, 9]},
        "environment": {
            "processor": "AMD EPYC",
            "instruction_set": "avx512",
            "winograd": "kernels, avx512",
            "threads": 2,
            "device": "cpu",
            "python": "3.11",
            "system": "Linux x86_64",
            "measured_at": "now",
            "versions": {"torch": "2.13.0"},
        },
    }


def views_of(name):
    """What evaluate.py test --json writes, as far as it is read."""
    top1 = {"dense": 52.0, "half": 51.5, "quarter": 45.75}[name]
    figure = {"mean": top1, "spread": 7.25}
    return {
        "mean": [
            {"views": "1x1", "video_top1": {**figure, "mean": top1 - 3}},
            {"views": "10x1", "video_top1": figure},
        ],
        "pairs": [{"truth": "M", "taken_for": "N", "videos": 9, "share": 37.5}],
        "classes": [{"videos": 24}, {"videos": 20}],
    }


@pytest.fixture
def plan(tmp_path):
    config, prune, root = tmp_path / "clips.yaml", tmp_path / "prune.yaml", tmp_path / "clips"
    config.write_text("a: 1\n")
    prune.write_text("b: 1\n")
    root.mkdir()
    return Study(config, prune, root, tmp_path / "out")


@pytest.fixture
def commands(monkeypatch, plan):
    """Runs nothing: notes the commands, and writes the figures that evaluate.py would."""
    seen = []

    def run(command, **options):
        assert command[0] == sys.executable
        seen.append((command[1:], options["env"]["OMP_NUM_THREADS"]))
        if command[1:3] == ["evaluate.py", "test"]:
            path = plan.out / command[command.index("--json") + 1]
            path.write_text(json.dumps(views_of(path.parent.name)))
            if "--png" in command:
                Path(command[command.index("--png") + 1]).write_bytes(b"picture")
        elif command[1] == "train.py":
            checkpoint = Path(command[command.index("--run") + 1]) / "checkpoints" / "last.ckpt"
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            checkpoint.write_bytes(str(len(seen)).encode())
        elif command[1] == "evaluate.py":
            path = plan.out / command[command.index("--json") + 1]
            split = int(path.parent.name.removeprefix("split"))
            path.write_text(json.dumps(figures_of(split)))
        return 0

    monkeypatch.setattr(once, "_call", run)
    monkeypatch.setattr(results.os, "cpu_count", lambda: 4)
    return seen


def test_mean_and_standard_deviation_by_hand():
    found = spread_of([50.0, 52.0, 57.0])
    assert str(found) == "53.0 ± 3.6"  # sqrt((9 + 1 + 16) / 2)
    assert f"{found:+.2f}" == "+53.00 ± 3.61"
    assert str(spread_of([50.0])) == "50.0" and f"{spread_of([-0.5]):+.1f}" == "-0.5"


def test_figures_and_table_by_hand():
    figures = {split: figures_of(split) for split in TOP1}
    collected = collect(figures, [DENSE, *LOW_RANK])
    assert collected["half"]["video_top1"] == {1: 56.0, 2: 47.0, 4: 69.0}
    assert collected["quarter"]["fewer"] == {1: 20.0, 2: 20.0, 4: 20.0}
    lines = table(collected, [[1, 2], [4]], [DENSE, *LOW_RANK]).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0] == [
        *("network", "split 1", "split 2", "mean of 1, 2", "split 4"),
        *("clip-level, 1, 2", "clip-level, split 4", "points lost, 1, 2", "points lost, split 4"),
        *("trained parameters", "multiplications", "measured speedup"),
    ]
    dense = ["dense", "57.5", "46.5", "**52.0 ± 7.8**", "70.0", "50.0 ± 7.8", "68.0", "", ""]
    assert rows[2] == [*dense, "1,000", "", ""]
    half = ["half the columns", "56.0", "47.0", "**51.5 ± 6.4**", "69.0", "49.5 ± 6.4", "67.0"]
    assert rows[3] == [*half, "0.5", "1.0", "250", "10.00x fewer", "0.50x"]
    assert rows[4][-5:] == ["6.2", "10.0", "250", "20.00x fewer", "0.80x"]


def test_runs_dense_first_then_pruned_from_it_then_evaluates(plan, commands):
    study(plan, [[1]], jobs=2, console=Console(quiet=True))
    (dense, threads), (half, _), (quarter, _), (compare, all_threads), *views = commands
    folder = plan.out / "split1"
    start = ["train.py", "fit", "--config", str(plan.config)]
    place = [f"--data.root={plan.root}", "--data.split=1", "--run"]
    assert dense == [*start, *place, str(folder / "dense"), "--ckpt_path", "last"]
    weights = str(folder / "dense" / "checkpoints" / "last.ckpt")
    assert half == [
        *(*start, "--config", str(plan.prune), "--sparsity", "0.5"),
        *("--model.winograd.parameterization", "low_rank", "--model.weights", weights),
        *(*place, str(folder / "half"), "--ckpt_path", "last"),
    ]
    assert quarter[quarter.index("--sparsity") + 1] == "0.75"
    assert compare[compare.index("--baseline") + 1] == weights
    assert (threads, all_threads) == ("2", "4")
    place = plan.out / "views1"
    (first, _), (second, _), _ = views
    assert first == [
        *("evaluate.py", "test", weights, "--views", "1x1,10x1"),
        *("--json", str(place / "dense" / "views.json")),
        *("--png", str(place / "dense" / "confusion.png"), f"--data.root={plan.root}"),
    ]
    assert second[2] == str(folder / "half" / "checkpoints" / "last.ckpt")
    assert "--png" not in second


def test_what_is_done_is_not_done_again(plan, commands):
    docs = plan.root.parent / "results.md"
    docs.write_text("# Results\n<!-- clips -->\nold\n<!-- /clips -->\nafter\n")
    quiet = Console(quiet=True)
    first = study(plan, [[1, 2], [4]], docs=docs, console=quiet)
    assert len(commands) == 18
    again = study(plan, [[1, 2], [4]], docs=docs, console=quiet)
    assert len(commands) == 18
    assert again == first
    text = docs.read_text()
    assert "| network | 1x1, 1, 2 | 10x1, 1, 2 |" in text
    assert "| a quarter of the columns | 42.8 ± 7.2 | 45.8 ± 7.2 |" in text
    assert "![Confusion matrix](images/confusion_clips.png)" in text
    assert "(images/confusion_clips_2.png)" in text
    assert (
        "Dense, splits 1, 2, 44 test videos, ten views" in text
        and "taken: M for N (9, 38 %)." in text
    )
    assert (docs.parent / "images" / "confusion_clips.png").read_bytes() == b"picture"
    assert text.startswith("# Results\n<!-- clips -->\n\n| network | split 1 |")
    assert text.endswith("(9, 38 %).\n\n<!-- /clips -->\nafter\n")
    assert "Test videos: 101 (split 1), 102 (split 2), 104 (split 4)." in text
    assert "old" not in text
    written = json.loads((plan.out / "results.json").read_text())
    assert written["figures"]["half"]["video_top1"] == {"1": 56.0, "2": 47.0, "4": 69.0}
    assert written["groups"] == [[1, 2], [4]]

    # A network that was trained again is compared and tested again, no other.
    plan.checkpoint(4, DENSE).write_bytes(b"another")
    study(plan, [[1, 2], [4]], console=quiet)
    assert [c[1] for c, _ in commands[18:]] == ["compare", "test"]

    plan.prune.write_text("b: 2\n")
    with pytest.raises(ValueError, match="half holds the outcome of another command or config"):
        study(plan, [[1]], console=quiet)


def test_a_failed_run_says_what_failed(plan, monkeypatch):
    def fail(command, stdout, **options):
        stdout.write("error: data.root: no such folder\n")
        stdout.flush()
        return 2

    monkeypatch.setattr(once, "_call", fail)
    with pytest.raises(
        ValueError, match=r"train.py failed, see .*finished.log: data.root: no such"
    ):
        study(plan, [[1]], console=Console(quiet=True))
    assert not (plan.folder(1, DENSE) / "finished").exists()


def test_vanilla_runs_name_their_parameterization(plan):
    command = plan.training(1, VANILLA[0])
    assert command[command.index("--model.winograd.parameterization") + 1] == "vanilla"


def test_a_document_without_marks(tmp_path):
    path = tmp_path / "results.md"
    path.write_text("<!-- clips -->")
    with pytest.raises(ValueError, match="has no place for clips; put <!-- clips --> and"):
        write_between(path, "clips", "text")


def test_a_document_without_marks_is_told_of_before_training(plan, commands, tmp_path):
    (tmp_path / "results.md").write_text("# Results")
    with pytest.raises(ValueError, match="has no place for clips"):
        study(plan, [[1]], docs=tmp_path / "results.md", console=Console(quiet=True))
    assert commands == []


def test_splits():
    assert split_groups("1,2,3+4") == [[1, 2, 3], [4]]
    assert split_groups("[1, 2]") == [[1, 2]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--splits": "1,x"}, "splits=1,x: give numbers"),
        ({"--config": "none.yaml"}, "config=none.yaml: no such file"),
        ({"--jobs": "0"}, "jobs=0: at least 1"),
    ],
)
def test_misuse(plan, change, message):
    options = {"--config": plan.config, "--prune": plan.prune, "--root": plan.root}
    options |= {"--out": plan.out, "--splits": "1"}
    args = [str(part) for pair in (options | change).items() for part in pair]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        results.main(args)
