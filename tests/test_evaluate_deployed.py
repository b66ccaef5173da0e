"""evaluate.py deploy, latency and predict as they are called."""

import json
import shutil

import pytest
import torch

import evaluate
import train
from tests.data.conftest import write_counting, write_folder, write_lists
from videowino.cli import run


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with clips, a checkpoint of a pruned network and its deployed file."""
    folder = tmp_path_factory.mktemp("deployed")
    write_lists(write_folder(folder / "clips", groups=3), test_groups=(1,))
    train.main(
        ["fit", "--run", str(folder / "run"), "--data", "videowino.data.VideoFolder"]
        + ["--data.root", str(folder / "clips"), "--data.frames", "4", "--data.size", "[16,16]"]
        + ["--data.resize", "null", "--data.num_workers", "0", "--data.batch_size", "4"]
        + ["--model.backbone", "r3d_10", "--model.width", "0.0625", "--trainer.max_epochs", "1"]
        + ["--model.winograd.parameterization", "low_rank", "--sparsity", "0.5"]
        + ["--trainer.accelerator", "cpu", "--trainer.limit_val_batches", "0"]
    )
    checkpoint = folder / "run" / "checkpoints" / "last.ckpt"
    evaluate.main(["deploy", str(checkpoint), "--out", str(folder / "model.vwino")])
    return folder


def call(capsys, *args):
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as exit_:
        run(lambda: evaluate.main([str(arg) for arg in args]))
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err


def checkpoint(trained):
    return trained / "run" / "checkpoints" / "last.ckpt"


def test_deploy_says_what_it_made(trained, capsys, tmp_path):
    out = tmp_path / "new" / "model.vwino"
    code, said, err = call(capsys, "deploy", checkpoint(trained), "--out", out)
    assert (code, err) == (0, "") and out.is_file()
    assert "layer1.0.conv1.0" in said and "72/144" in said
    assert "2 classes; its outputs are within" in said


def test_latency_writes_what_it_prints(trained, capsys, tmp_path):
    figures, picture = tmp_path / "figures.json", tmp_path / "picture.png"
    options = ("--batch_size", 2, "--repeats", 3, "--json", figures, "--png", picture)
    code, out, err = call(capsys, "latency", trained / "model.vwino", *options)
    assert (code, err) == (0, "")
    written = json.loads(figures.read_text())
    assert written["batch_size"] == 2 and written["layers"][0]["name"] == "stem.0"
    assert f"{written['ms']:.2f} ms in all" in out
    for layer in written["layers"]:
        line = next(text for text in out.splitlines() if layer["name"] in text)
        assert layer["algorithm"] in line and f"{layer['ms']:.2f}" in line
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert call(capsys, "latency", checkpoint(trained), "--repeats", 1)[0] == 0


def test_predict_tells_the_same_of_file_and_checkpoint(trained, capsys, tmp_path):
    clips = trained / "clips" / "videos"
    found = []
    for model in (trained / "model.vwino", checkpoint(trained)):
        file = tmp_path / "predictions.json"
        code, out, err = call(capsys, "predict", model, clips, "--json", file)
        assert (code, err) == (0, "")
        found.append(json.loads(file.read_text()))
        assert "v_Jump_g01_c01.avi" in out and "Run" in out
    for deployed, plain in zip(*found, strict=True):
        assert deployed["video"] == plain["video"] and len(deployed["windows"]) == 1
        for a, b in zip(deployed["top"], plain["top"], strict=True):
            assert a["class"] == b["class"]
            assert a["probability"] == pytest.approx(b["probability"], abs=1e-4)
    assert {top["class"] for top in found[0][0]["top"]} == {"Jump", "Run"}


def test_predict_on_what_people_have(trained, capsys, tmp_path):
    folder = tmp_path / "some clips"
    write_counting(folder / "two frames é.avi", frames=2)
    write_counting(folder / "long.avi", frames=24)
    (folder / "empty.avi").touch()
    (folder / "text.mp4").write_text("hello")
    (folder / "notes.txt").write_text("hello")
    whole = write_counting(tmp_path / "whole.avi", frames=24).read_bytes()
    (folder / "truncated.avi").write_bytes(whole[: len(whole) // 2])
    file = tmp_path / "predictions.json"
    code, out, err = call(capsys, "predict", trained / "model.vwino", folder, "--json", file)
    assert code == 2 and err == "error: 3 of 5 videos could not be used (named above)\n"
    said = {entry["video"].rpartition("/")[2]: entry for entry in json.loads(file.read_text())}
    assert "0 bytes" in said["empty.avi"]["error"]
    assert "not a readable video" in said["text.mp4"]["error"]
    assert "truncated" in said["truncated.avi"]["error"]
    assert "the last one stands still" in said["two frames é.avi"]["note"]
    assert len(said["long.avi"]["windows"]) == 6 and "notes.txt" not in said
    assert "left out, no videos by their names" in out and "notes.txt" in out
    assert "empty.avi: the file is empty" in out


@pytest.mark.data
def test_predict_on_real_clips(trained, capsys, shared_data):
    code, out, err = call(
        capsys, "predict", trained / "model.vwino", shared_data / "ucf101" / "videos", "--window", 1
    )
    assert (code, err) == (0, "")
    assert "v_Punch_g03_c01.avi  4.3 s, 4 windows" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["predict", "{missing}", "{clips}"], "no such deployed model"),
        (["predict", "{text}", "{clips}"], "is no deployed model"),
        (["predict", "{cut}", "{clips}"], "is no deployed model, or only a part of one"),
        (["predict", "{model}", "{missing}"], "no such video or folder"),
        (["predict", "{model}"], "the following arguments are required"),
        (["predict", "{model}", "{clips}", "--window", "-1"], "window=-1.0: seconds, above 0"),
        (["predict", "{model}", "{clips}", "--batch_size", "0"], "batch_size=0: at least 1"),
        (["predict", "{model}", "{clips}", "--threads", "0"], "threads=0: at least 1"),
        (["predict", "{model}", "{clips}", "--jsn", "x"], "did you mean 'json'?"),
        (["latency", "{model}", "--png", "x.xyz"], "png=x.xyz: cannot write .xyz"),
        (["latency", "{model}", "--repeats", "0"], "repeats=0: at least 1"),
        (["deploy", "{missing}.ckpt", "--out", "{cut}"], "no such checkpoint"),
        (["deploy", "{checkpoint}", "--out", "{folder}"], "is a folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(trained, capsys, tmp_path, args, message):
    model = trained / "model.vwino"
    places = {
        "missing": tmp_path / "missing",
        "text": tmp_path / "text.vwino",
        "cut": tmp_path / "cut.vwino",
        "folder": tmp_path,
        "clips": trained / "clips",
        "model": model,
        "checkpoint": checkpoint(trained),
    }
    places["text"].write_text("hello")
    places["cut"].write_bytes(model.read_bytes()[:5000])
    code, _, err = call(capsys, *(arg.format(**places) for arg in args))
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert message in err


def test_names_are_known_where_the_data_is_gone(trained, capsys, tmp_path):
    clip = next((trained / "clips" / "videos" / "Run").iterdir())
    shutil.copy(clip, tmp_path / "clip.avi")
    (trained / "clips").rename(trained / "gone")
    try:
        code, out, _ = call(capsys, "predict", checkpoint(trained), tmp_path / "clip.avi")
    finally:
        (trained / "gone").rename(trained / "clips")
    assert code == 0 and "Jump" in out and "Run" in out
