"""`evaluate.py test`, from the command line: what is printed, written, warned of and refused."""

import csv
import json
import shutil
from statistics import mean, stdev

import numpy as np
import pytest
import torch

import evaluate
import train
from tests.data.conftest import write_lists
from videowino.cli import run
from videowino.data import VideoFolder
from videowino.data.synthetic import write_video
from videowino.preparing.shards import write_shards

NAMES = ["A", "B [b]", "C", "D", "E", "F"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_clips(root, names=NAMES):
    """Classes that differ in brightness a little, three groups; splits 1 and 2."""
    generator = np.random.default_rng(0)
    for label, name in enumerate(names):
        for group in (1, 2, 3):
            frames = generator.integers(0, 120, (7, 24, 32, 3)) + 20 * label
            path = root / "videos" / name / f"v_{name}_g{group:02d}_c01.avi"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, frames.astype(np.uint8))
    write_lists(root, test_groups=(3,), number=1)
    return write_lists(root, test_groups=(2,), number=2)


def fit(folder, name, root, *options):
    train.main(
        ["fit", "--run", str(folder / name), "--data", "videowino.data.VideoFolder"]
        + ["--data.root", str(root), "--data.frames", "4", "--data.size", "[16,16]"]
        + ["--data.resize", "20", "--data.num_workers", "0", "--data.batch_size", "4"]
        + ["--data.clips", "2", "--model.backbone", "r3d_10", "--model.width", "0.0625"]
        + ["--trainer.max_epochs", "2", "--model.lr", "0.05", *options]
        + ["--trainer.accelerator", "cpu", "--trainer.limit_val_batches", "0"]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips; a network for each of two splits, one of them deployed too; two that do not fit."""
    folder = tmp_path_factory.mktemp("test")
    make_clips(folder / "clips")
    make_clips(folder / "renamed", [*NAMES[:5], "G"])
    fit(folder, "split1/dense", folder / "clips")
    fit(folder, "split2/dense", folder / "clips", "--data.split", "2")
    fit(folder, "other", folder / "renamed", "--data.split", "2")
    model = str(folder / "model.vwino")
    evaluate.main(["deploy", checkpoint(folder, "split1/dense"), "--out", model])
    return folder


def checkpoint(folder, name):
    return str(folder / name / "checkpoints" / "last.ckpt")


def both(folder):
    return [checkpoint(folder, f"split{n}/dense") for n in (1, 2)]


def call(capsys, *args):
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as exit_:
        run(lambda: evaluate.main([str(arg) for arg in ("test", *args, "--device", "cpu")]))
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err


def figures_of(capsys, tmp_path, *args):
    """The figures in the JSON file; nothing may be warned of."""
    code, _, err = call(capsys, *args, "--json", tmp_path / "a.json")
    assert (code, err) == (0, "")
    return json.loads((tmp_path / "a.json").read_text())


def percent(top1, top5):
    return f"{top1:.1f} / {top5:.1f}"


def test_what_is_printed_is_what_is_written(folder, capsys, tmp_path):
    files = {kind: tmp_path / "new" / f"a.{kind}" for kind in ("json", "csv", "png")}
    options = [part for kind, path in files.items() for part in (f"--{kind}", path)]
    code, out, err = call(capsys, *both(folder), "--views", "1x1,3x3,2x10", *options)
    assert (code, err) == (0, "")
    assert "testing 2 networks on 12 videos" in out  # progress where there is no terminal
    written = json.loads(files["json"].read_text())
    lines = [line.split("  ") for line in out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]

    assert [split["data"]["split"] for split in written["splits"]] == [1, 2]
    for split in written["splits"]:
        assert (split["network"], split["unreadable"], split["data"]["videos"]) == ("dense", 0, 6)
        for f, views in zip(split["protocols"], (1, 9, 20), strict=True):
            assert f["views_a_video"] == views
            video = percent(f["video_top1"], f["video_top5"])
            clip = percent(f["clip_top1"], f["clip_top5"])
            row = ["dense", str(split["data"]["split"]), "6", f["views"], video, clip]
            assert row in cells
        speed = split["throughput"]
        rates = [f"{speed['network']:.1f}", f"{speed['with_loading']:.1f}", "16", "0"]
        assert ["dense", str(split["data"]["split"]), str(speed["clips"]), *rates] in cells
    for at, over in enumerate(written["mean"]):
        values = [split["protocols"][at]["video_top1"] for split in written["splits"]]
        assert over["video_top1"]["mean"] == pytest.approx(mean(values))
        assert over["video_top1"]["spread"] == pytest.approx(stdev(values))
        said = f"{mean(values):.1f} ± {stdev(values):.1f} / "
        assert any(
            row[:2] == ["mean of 2 splits", over["views"]] and row[2].startswith(said)
            for row in cells
            if len(row) == 4
        )
    assert written["detailed"] == "2x10"
    assert f"mean over classes {written['mean_class_top1']:.1f} %" in out
    for f in written["classes"]:
        taken = f"{f['taken_for']} ({f['taken_for_videos']})" if f["taken_for"] else None
        row = [f["name"], str(f["videos"]), str(f["correct"]), f"{f['top1']:.1f}", taken]
        assert [cell for cell in row if cell] in cells
    for pair in written["pairs"]:
        row = [pair["truth"], pair["taken_for"], str(pair["videos"]), f"{pair['share']:.1f} %"]
        assert row in cells
    for row in written["worst_videos"]:
        shown = [f"{row['loss']:.2f}", row["label"], row["predicted"], str(row["split"])]
        assert any(line[:4] == shown for line in cells)
        assert row["path"].rpartition("/")[2] in "".join(out.split("\n"))
    assert f"torch {written['environment']['versions']['torch']}" in out
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    for path in files.values():
        assert str(path) in out


def test_csv_file_and_confusion_matrix_tell_the_accuracy(folder, capsys, tmp_path):
    path = tmp_path / "a.csv"
    written = figures_of(capsys, tmp_path, *both(folder), "--views", "2x3", "--csv", path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for split in written["splits"]:
        mine = [row for row in rows if row["split"] == str(split["data"]["split"])]
        right = sum(row["label"] == row["predicted"] for row in mine)
        assert split["protocols"][0]["video_top1"] == 100 * right / 6
    matrix = np.array(written["confusion"])
    assert matrix.sum(1).tolist() == [2] * 6
    assert np.trace(matrix) == sum(row["label"] == row["predicted"] for row in rows)
    for row in rows:
        said = [float(row[f"p({name})"]) for name in NAMES]
        assert sum(said) == pytest.approx(1)
        assert NAMES[int(np.argmax(said))] == row["predicted"] == row["top1"]


@pytest.mark.parametrize(("clips", "crops"), [(1, 1), (3, 3), (2, 10)])
def test_agrees_with_train_py_test(folder, capsys, tmp_path, clips, crops):
    model = checkpoint(folder, "split1/dense")
    views = ("--clips", clips, "--crops", crops)
    (figures,) = figures_of(capsys, tmp_path, model, *views, "--batch_size", 5)["splits"]
    config = str(folder / "split1" / "dense" / "config.yaml")
    train.main(
        ["test", "--config", config, "--run", str(tmp_path / "run"), "--ckpt_path", model]
        + ["--data.clips", str(clips), "--data.crops", str(crops)]
    )
    with (tmp_path / "run" / "test" / "metrics.csv").open() as file:
        (theirs,) = csv.DictReader(file)
    for name in ("video_top1", "video_top5", "clip_top1", "clip_top5"):
        assert round(figures["protocols"][0][name], 4) == round(
            100 * float(theirs[f"test/{name}"]), 4
        )


def test_protocols_side_by_side_are_each_alone(folder, capsys, tmp_path):
    model = checkpoint(folder, "split1/dense")
    (together,) = figures_of(capsys, tmp_path, model, "--views", "1x1,3x1m,3x3,1x10")["splits"]
    for f in together["protocols"]:
        (alone,) = figures_of(capsys, tmp_path, model, "--views", f["views"])["splits"]
        assert alone["protocols"] == [f]
    # Views that protocols share are computed once: 3x3 has the plain ones of 3x1m in it, and of 10
    # crops the centre is 1x1.
    assert together["throughput"]["clips"] == 6 * (3 * 4 + 10)
    # Without any option the views are the checkpoint's own.
    (own,) = figures_of(capsys, tmp_path, model)["splits"]
    assert own["protocols"][0]["views"] == "2x1"


def test_loading_processes_change_nothing(folder, capsys, tmp_path):
    model = checkpoint(folder, "split1/dense")
    options = ("--views", "1x1,3x3")
    here, there = (
        figures_of(capsys, tmp_path, model, *options, "--data.num_workers", n)["splits"][0]
        for n in (0, 2)
    )
    assert here["protocols"] == there["protocols"]
    assert there["throughput"]["workers"] == 2


def test_shards_instead_of_files(folder, capsys, tmp_path):
    pytest.importorskip("webdataset")
    model = checkpoint(folder, "split1/dense")
    write_shards(VideoFolder(root=str(folder / "clips")), tmp_path / "shards", shard_mb=0.03)
    (files,) = figures_of(capsys, tmp_path, model, "--views", "1x1,2x3")["splits"]
    where = ("--data.class_path", "VideoShards", "--data.root", tmp_path / "shards")
    for workers in (0, 2):
        options = (*where, "--data.num_workers", workers)
        (shards,) = figures_of(capsys, tmp_path, model, "--views", "1x1,2x3", *options)["splits"]
        assert shards["protocols"] == files["protocols"]
        assert (shards["data"]["name"], shards["data"]["videos"]) == ("VideoShards", 6)


def test_a_deployed_file(folder, capsys, tmp_path):
    options = ("--views", "3x3", "--data.root", folder / "clips", "--csv", tmp_path / "a.csv")
    code, out, err = call(capsys, folder / "model.vwino", *options)
    assert (code, err) == (0, "")
    assert "does not say which videos it was trained on" in " ".join(out.split())
    deployed = list(csv.DictReader((tmp_path / "a.csv").open()))
    call(capsys, checkpoint(folder, "split1/dense"), *options)
    plain = list(csv.DictReader((tmp_path / "a.csv").open()))
    for ours, theirs in zip(deployed, plain, strict=True):
        assert ours["path"] == theirs["path"]
        for name in NAMES:
            assert float(ours[f"p({name})"]) == pytest.approx(float(theirs[f"p({name})"]), abs=1e-4)


def test_averaging_logits_is_another_thing(folder, capsys, tmp_path):
    model = checkpoint(folder, "split1/dense")
    losses = []
    for average in ("probabilities", "logits"):
        written = figures_of(capsys, tmp_path, model, "--views", "3x10", "--average", average)
        assert written["average"] == average
        losses.append([row["loss"] for row in written["worst_videos"]])
    assert losses[0] != losses[1]


def test_an_unreadable_video_counts_as_wrong(folder, capsys, tmp_path):
    root = tmp_path / "clips"
    shutil.copytree(folder / "clips", root)
    (root / "videos" / "C" / "v_C_g03_c01.avi").write_bytes(b"")
    args = (checkpoint(folder, "split1/dense"), "--views", "2x3", "--data.root", root)
    code, out, err = call(capsys, *args, "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv")
    assert code == 0
    assert "v_C_g03_c01.avi: the file is empty (0 bytes); it counts as wrong" in err
    assert "Split 1: 1 of 6 test videos cannot be read and count as wrong." in out
    written = json.loads((tmp_path / "a.json").read_text())
    (split,) = written["splits"]
    assert (split["data"]["videos"], split["unreadable"]) == (6, 1)
    assert [p.rpartition("/")[2] for p in written["unreadable_videos"]] == ["v_C_g03_c01.avi"]
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["predicted"] for row in rows if "v_C_" in row["path"]] == [""]
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert split["protocols"][0]["video_top1"] == 100 * right / 6
    assert next(f for f in written["classes"] if f["name"] == "C")["unreadable"] == 1


def test_another_split_than_it_was_trained_on_is_told_of(folder, capsys):
    code, _, err = call(capsys, checkpoint(folder, "split1/dense"), "--data.split", "2")
    assert code == 0
    assert "split1/dense/checkpoints/last.ckpt: was trained on split 1, and is tested on" in err
    assert "was trained on 6 of the 6 test videos, so its accuracy is no test accuracy" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{missing}"], "missing.ckpt: no such checkpoint"),
        (["{text}"], "text.vwino: is no deployed model"),
        (["{one}", "{one}"], "is given twice"),
        (["{one}", "{copy}"], "is tested on split 1 like"),
        (["{one}", "{two}", "--data.split", "1"], "is tested on split 1 like"),
        (["{one}", "{other}"], "is for other classes than"),
        (["{one}", "{other}"], "'G' instead of 'F'"),
        (["{one}", "--data.root", "{renamed}"], "has other classes than"),
        (["{one}", "--data.split", "7"], "data.split=7: no trainlist07.txt"),
        (["{one}", "--data.clip", "7"], "did you mean 'data.clips'?"),
        (["{one}", "--data.class_path", "UCF11"], "is no data module; did you mean 'UCF101'?"),
        (["{one}", "--data.class_path", "no.Such"], "data.class_path=no.Such: there is no module"),
        (["{model}"], "a deployed file does not say where its data are; give --data.root"),
        (["{model}", "--data.root", "{renamed}"], "has other classes than"),
        # Told before any file is read.
        (["{missing}", "--views", "0x1"], "views=0x1: 0x1 has no clip; at least 1"),
        (["{missing}", "--views", "1x5"], "views=1x5: 1x5 has 5 crops; 1, 3 or 10"),
        (["{missing}", "--views", "1x1", "--crops", "3"], "leave out --clips and --crops"),
        (["{missing}", "--views", "1x1", "--data.clips", "3"], "data.clips: views says it"),
        (["{missing}", "--average", "votes"], "average=votes: one of probabilities, logits"),
        (["{missing}", "--batch_size", "0"], "batch_size=0: at least 1"),
        (["{missing}", "--rows", "0"], "rows=0: at least 1"),
        (["{missing}", "--threads", "0"], "threads=0: at least 1"),
        (["{missing}", "--png", "x.xyz"], "png=x.xyz: cannot write .xyz"),
        (["{missing}", "--csv", "{folder}"], "is a folder; give the name of a file in it"),
        (["{one}", "--crops", "5"], "data.crops=5: 1 (centre), 3"),
        (["{one}", "--clips", "0"], "data.clips=0: at least 1"),
        (["{one}", "--vews", "1x1"], "did you mean 'views'?"),
        ([], "the following arguments are required: models"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, capsys, tmp_path, args, message):
    one, two = both(folder)
    places = {
        "missing": tmp_path / "missing.ckpt",
        "folder": tmp_path,
        "text": tmp_path / "text.vwino",
        "copy": tmp_path / "copy.ckpt",
        "one": one,
        "two": two,
        "other": checkpoint(folder, "other"),
        "renamed": folder / "renamed",
        "model": folder / "model.vwino",
    }
    places["text"].write_text("hello")
    shutil.copy(one, places["copy"])
    code, _, err = call(capsys, *(arg.format(**places) for arg in args))
    assert code == 2
    *warned, error = err.splitlines()
    assert all(line.startswith("warning: ") for line in warned)
    assert error.startswith("error: ")
    assert message in error
