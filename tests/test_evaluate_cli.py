"""evaluate.py as it is called: what it prints and writes, and one line for what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import evaluate
import train
from videowino.cli import run
from videowino.kernels import native

ROOT = Path(__file__).parents[1]
CLASSES = 6


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_clip(path, brightness):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for n in range(6):
            picture = np.full((32, 32, 3), brightness + 3 * n, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def make_clips(root, classes):
    """Classes of one brightness each: two groups to train on, one to test on."""
    names = [f"Class{chr(65 + n)}" for n in range(classes)]
    lists = {"trainlist01": (1, 2), "testlist01": (3,)}
    (root / "splits").mkdir(parents=True)
    index = "".join(f"{n} {name}\n" for n, name in enumerate(names, 1))
    (root / "splits" / "classInd.txt").write_text(index)
    for part, groups in lists.items():
        clips = [f"{name}/v_{name}_g{group:02d}_c01.avi" for name in names for group in groups]
        (root / "splits" / f"{part}.txt").write_text("".join(f"{clip}\n" for clip in clips))
        for clip in clips:
            write_clip(root / "videos" / clip, 30 * names.index(clip.partition("/")[0]) + 20)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips, and three checkpoints trained on them by train.py: dense, half, another backbone."""
    folder = tmp_path_factory.mktemp("evaluate")
    make_clips(folder / "clips", CLASSES)
    make_clips(folder / "two", 2)

    def fit(name, *options, root="clips"):
        train.main(
            ["fit", "--run", str(folder / name), "--data", "videowino.data.VideoFolder"]
            + ["--data.root", str(folder / root), "--data.frames", "4", "--data.size", "[16,16]"]
            + ["--data.resize", "16", "--data.num_workers", "0", "--data.batch_size", "4"]
            + ["--model.width", "0.0625", "--trainer.max_epochs", "1", *options]
            + ["--trainer.accelerator", "cpu", "--trainer.limit_val_batches", "0"]
        )
        return str(folder / name / "checkpoints" / "last.ckpt")

    fit("dense")
    start = ["--model.weights", str(folder / "dense" / "checkpoints" / "last.ckpt")]
    start += ["--model.winograd.parameterization", "low_rank", "--sparsity", "0.5"]
    fit("half", *start)
    fit("mc3", "--model.backbone", "mc3_18")
    fit("two_classes", root="two")
    return folder


def checkpoint(folder, name):
    return str(folder / name / "checkpoints" / "last.ckpt")


def call(capsys, *args):
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as exit_:
        run(lambda: evaluate.main([str(arg) for arg in args]))
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err


QUICK = ("--seconds", "0", "--batch_sizes", "1,2", "--threads", "1", "--device", "cpu")


def test_compare_prints_what_it_writes(folder, capsys):
    half, dense = checkpoint(folder, "half"), checkpoint(folder, "dense")
    figures, picture = folder / "out" / "figures.json", folder / "out" / "picture.png"
    code, out, err = call(
        capsys,
        *("compare", half, "--baseline", dense, "--exact", *QUICK, "--layers"),
        *("--json", figures, "--png", picture, "--data.clips", "2", "--data.crops", "3"),
    )
    assert (code, err) == (0, "")
    assert "test videos" in out  # progress
    said = " ".join(out.split())  # long lines are wrapped
    assert "6 test videos x 6 views, clips of 4x16x16, 6 classes (chance 16.7 %)" in said
    assert "Exact Winograd classifies 36 of 36 clips as dense does." in said
    assert ("plain-PyTorch reference" in said) == (native.library() is None)
    assert "1 thread, torch" in said
    written = json.loads(figures.read_text())
    assert [row["name"] for row in written["rows"]] == ["dense", "exact Winograd", "half"]
    for row in written["rows"]:
        line = next(t for t in out.splitlines() if t.strip().startswith(f"{row['name']} "))
        accuracy = row["accuracy"]
        assert f"{accuracy['video_top1']:.1f} / {accuracy['video_top5']:.1f}" in line
        assert f"{accuracy['clip_top1']:.1f} / {accuracy['clip_top5']:.1f}" in line
        for speed in row["speed"]:
            assert f"{speed['ms_per_clip']:.2f}" in line
            assert f"{speed['speedup']:.2f}x" in line
    assert written["rows"][2]["columns_kept"] == 0.5
    assert written["data"]["views"] == 6
    assert written["environment"]["versions"]["torch"] == torch.__version__
    assert len(written["layers"]) > 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"figures: {figures}" in out
    assert f"picture: {picture}" in out


def test_report_is_a_page_of_what_was_compared(folder, capsys):
    dense, half = folder / "dense", checkpoint(folder, "half")
    figures, page, plot = (folder / "page" / name for name in ("f.json", "r.html", "p.svg"))
    code, out, _ = call(
        capsys, "compare", half, "--baseline", checkpoint(folder, "dense"), "--exact", *QUICK,
        *("--layers", "--json", figures),
    )  # fmt: skip
    code, out, err = call(
        capsys, "report", half, "--baseline", dense, "--comparison", figures, "--out", page,
        *("--svg", plot, "--clips", "4"),
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"plot: {plot}", f"page: {page}"]  # nothing was measured anew
    content = page.read_text()
    assert content.count("data:image/webp") == 4
    assert content.count('class="cube"') == 2 * len(json.loads(figures.read_text())["layers"]) // 2
    assert "winograd:" in content  # a configuration
    commands = content.partition('<pre class="commands">')[2].partition("</pre>")[0].splitlines()
    assert commands[-2] == json.loads(figures.read_text())["command"]
    assert commands[-2].startswith(f"python evaluate.py compare {half} --baseline")
    assert commands[-1] == (
        f"python evaluate.py report {half} --baseline {dense} --comparison {figures} --out {page} "
        f"--svg {plot} --clips 4"
    )
    assert plot.read_text().lstrip().startswith("<svg")


def test_report_measures_where_nothing_was(folder, capsys, tmp_path):
    page = tmp_path / "report.html"
    runs = folder / "dense", folder / "half"
    code, out, err = call(capsys, "report", *runs, *QUICK, "--out", page)
    assert (code, err) == (0, "")
    assert "6 test videos" in out and f"page: {page}" in out
    assert "ms a clip, batch 2" in page.read_text()
    options = " ".join(QUICK)
    assert f"report {runs[0]} {runs[1]} {options} --out {page}</pre>" in page.read_text()


def test_report_refuses_figures_of_others(folder, capsys, tmp_path):
    figures, page = tmp_path / "figures.json", tmp_path / "report.html"
    call(capsys, "compare", checkpoint(folder, "dense"), *QUICK, "--json", figures)
    runs = folder / "dense", folder / "half"
    code, _, err = call(capsys, "report", *runs, "--comparison", figures, "--out", page)
    assert code == 2 and "comparison: is of" in err and "half" in err
    assert not page.exists()


def test_report_refuses_figures_of_what_a_checkpoint_was_before(folder, capsys, tmp_path):
    run, figures, page = tmp_path / "run", tmp_path / "figures.json", tmp_path / "report.html"
    shutil.copytree(folder / "half", run)
    call(capsys, "compare", checkpoint(tmp_path, "run"), *QUICK, "--json", figures)
    given = ("report", run, "--comparison", figures, "--out", page)
    assert call(capsys, *given)[0] == 0
    code, _, err = call(capsys, *given, "--seconds", "3")
    assert code == 2 and "seconds=3.0: nothing is timed where figures are given" in err
    content = torch.load(checkpoint(tmp_path, "run"), weights_only=True)
    torch.save(content | {"global_step": 99}, checkpoint(tmp_path, "run"))
    page.unlink()
    code, _, err = call(capsys, *given)
    assert code == 2 and "last.ckpt has changed since its figures were taken; compare again" in err
    assert not page.exists()


def test_one_checkpoint_alone_is_timed_against_its_dense_twin(folder, capsys):
    code, out, err = call(capsys, "compare", checkpoint(folder, "half"), *QUICK)
    assert (code, err) == (0, "")
    twin = next(t for t in out.splitlines() if "dense, untrained" in t)
    assert "1.00x" in twin
    assert " - " in twin  # no accuracy
    half = next(t for t in out.splitlines() if t.strip().startswith("half"))
    assert " / " in half


def test_data_can_lie_elsewhere(folder, capsys, tmp_path):
    moved = tmp_path / "moved"
    moved.symlink_to(folder / "clips")
    dense = checkpoint(folder, "dense")
    code, out, _ = call(capsys, "compare", dense, "--data.root", moved, *QUICK)
    assert code == 0
    assert str(moved) in "".join(out.split())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{missing}"], "missing.ckpt: no such checkpoint"),
        (["{dense}", "--baseline", "{missing}"], "missing.ckpt: no such checkpoint"),
        (["{folder}"], "it is a folder; give the .ckpt file in it"),
        (["{text}"], "text.ckpt is no PyTorch checkpoint"),
        (["{cut}"], "cut.ckpt is no PyTorch checkpoint, or is cut short"),
        (["{mc3}", "--baseline", "{dense}"], "is of another network (backbone='mc3_18')"),
        (["{two}", "--baseline", "{dense}"], "is of another network (num_classes=2)"),
        (["{half}", "--baseline", "{half}"], "has Winograd layers; give the dense checkpoint"),
        (["{dense}", "{dense}"], "is given twice"),
        (["{dense}", "--data.root", "{missing}"], "missing.ckpt': no such folder"),
        (["{dense}", "--data.root", "{clips2}"], "has 2 classes and"),
        (["{dense}", "--data.split", "7"], "data.split=7: no trainlist07.txt"),
        (["{dense}", "--data.rot", "x"], "unknown option 'data.rot'"),
        (["{dense}", "--data.rot", "x"], "did you mean 'data.root'?"),
        (["{dense}", "--data.clips", "x"], "data.clips: Expected a int"),
        (["{dense}", "--baselin", "x"], "did you mean 'baseline'?"),
        (["{dense}", "--batch_sizes", "1,b"], "batch_sizes: invalid integers value: '1,b'"),
        (["{dense}", "--batch_sizes", "0"], "batch_sizes: 0 is no batch size"),
        (["{dense}", "--threads", "0"], "threads=0: at least 1"),
        (["{dense}", "--seconds", "-1"], "seconds=-1.0: 0 or more"),
        (["{dense}", "--device", "tpu9"], "device=tpu9: is no device"),
        # Told before any checkpoint is read.
        (["{missing}", "--png", "x.xyz"], "png=x.xyz: cannot write .xyz; give one of ."),
        (["{missing}", "--png", "x"], "png=x: cannot write a file without suffix"),
        (["{missing}", "--png", "/proc/foo/a.png"], "a.png: its folder cannot be made (No such"),
        (["{missing}", "--json", "{folder}"], "is a folder; give the name of a file in it"),
        (["{missing}", "--json", "{text}/a.json"], "a.json: its folder cannot be made (File ex"),
        (["{dense}", "--import", "none_such"], "import=none_such: there is no module none_such"),
        ([], "the following arguments are required: checkpoints"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, capsys, args, message):
    places = {
        "missing": folder / "missing.ckpt",
        "folder": folder,
        "clips2": folder / "two",
        "text": folder / "text.ckpt",
        "cut": folder / "cut.ckpt",
        "two": checkpoint(folder, "two_classes"),
    } | {name: checkpoint(folder, name) for name in ("dense", "half", "mc3")}
    places["text"].write_text("hello")
    places["cut"].write_bytes(Path(places["dense"]).read_bytes()[:5000])
    code, _, err = call(capsys, "compare", *(arg.format(**places) for arg in args))
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{folder}"], "last.ckpt, which a training writes after its first epoch; give the folder"),
        (["{dense}", "--out", "page.pdf"], "out=page.pdf: cannot write .pdf; give one of .htm"),
        (["{dense}", "--svg", "plot.png"], "svg=plot.png: cannot write .png; give one of .svg"),
        (["{dense}", "--clips", "-1"], "clips=-1: 0 or more"),
        (["{dense}", "--seconds", "-1"], "seconds=-1.0: 0 or more"),
        (["{dense}", "--threads", "0"], "threads=0: at least 1"),
        (["{dense}", "--comparison", "none.json"], "comparison=none.json: no such file"),
        (["{dense}", "--comparison", "{dense}"], "is not what `evaluate.py compare --json` writes"),
        ([], "the following arguments are required: runs"),
    ],
)
def test_bad_input_to_report_too(folder, capsys, args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"folder": folder, "dense": checkpoint(folder, "dense")}
    code, _, err = call(capsys, "report", *(arg.format(**places) for arg in args))
    assert code == 2 and message in err and err.count("\n") == 1, err
    assert list(tmp_path.iterdir()) == []


def test_another_subcommand_is_refused(capsys):
    code, _, err = call(capsys, "compair", "a.ckpt")
    assert code == 2
    assert "'compair' (choose from" in err


def test_the_script_itself(tmp_path):
    result = subprocess.run(
        [sys.executable, str(ROOT / "evaluate.py"), "compare", "none.ckpt"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (result.returncode, result.stderr) == (2, "error: none.ckpt: no such checkpoint\n")
