import csv
import importlib
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from tests.data.conftest import write_lists
from tests.data.odd_videos import make_odd_videos
from tests.preparing.verify.conftest import write_noise
from tests.preparing.verify.test_lists import append
from videowino.data import VideoFolder
from videowino.data.exclusions import read_rows
from videowino.preparing.verify.command import verify
from videowino.preparing.verify.findings import KINDS
from videowino.preparing.verify.options import Options

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "datasets" / "verify.py"
WORK = """
import os, signal, time
from videowino.preparing.verify.scan import scan_file

def slowly(path, alive):
    time.sleep(0.2)
    return scan_file(path, alive)

def by_name(path, alive):
    if "_g02_" in path:
        time.sleep(1000)
    if "_g03_" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    return scan_file(path, alive)
"""


def rows_of(file):
    with Path(file).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def kinds_of(file):
    return {(row["path"], row["kind"]) for row in rows_of(file)}


def run(*args, capsys):
    """Exit code, output and complaints of the script."""
    script = runpy.run_path(str(SCRIPT))
    with pytest.raises(SystemExit) as ended:
        script["run"](lambda: script["main"]([str(arg) for arg in args]))
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


@pytest.fixture(autouse=True)
def _as_warnings_were(monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    folder = tmp_path / "stubs"
    folder.mkdir()
    (folder / "work_of_verify.py").write_text(WORK)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    yield importlib.import_module("work_of_verify")
    sys.modules.pop("work_of_verify")


@pytest.fixture
def odd_set(tmp_path):
    """The odd files in two classes, listed as far as lines of a list can."""
    root = tmp_path / "odd"
    for name in ("Run", "Walk"):
        (root / "videos" / name).mkdir(parents=True)
        for group in (1, 2):
            clip = root / "videos" / name / f"v_{name}_g0{group}_c01.avi"
            write_noise(clip, seed=ord(name[0]) + group)
    write_lists(root)
    make_odd_videos(root / "videos" / "Run")
    lines = ""
    for path in sorted((root / "videos" / "Run").iterdir()):
        if "_g0" not in path.stem:
            lines += f"Run/{path.name} 1\n"
    append(root / "splits" / "trainlist01.txt", lines)
    return root


def test_all_is_well(sound, capsys):
    code, out, err = run("--root", sound, "--jobs", 2, capsys=capsys)
    assert (code, err) == (0, "")
    assert "folder: 6 files in " in out and " files/s): all is well." in out
    assert rows_of(sound / "verify.csv") == []
    assert (sound / "verify.csv").read_text() == "path,kind,exclude,split,detail\n"


def test_each_odd_file_is_found_by_its_name_and_good_ones_are_not(odd_set, capsys):
    code, out, err = run("--root", odd_set, "--jobs", 2, capsys=capsys)
    assert (code, err) == (1, "")
    run_folder = "videos/Run"
    alone = {
        (path.removeprefix(f"{run_folder}/"), kind)
        for path, kind in kinds_of(odd_set / "verify.csv")
        if kind not in ("duplicate", "unlisted")
    }
    assert alone == {
        ("empty.avi", "empty"),
        ("text.avi", "not a video"),
        ("truncated.avi", "truncated"),
        ("ten_times.avi", "wrong header"),
        ("one_frame.avi", "short"),
        ("two_frames.avi", "short"),
        ("large.avi", "short"),  # of three frames
    }
    excluded = [row["path"] for row in rows_of(odd_set / "verify.csv") if row["exclude"] == "yes"]
    assert excluded == [f"{run_folder}/{name}.avi" for name in ("empty", "text", "truncated")]
    # One content under many names is what duplicates are.
    copies = {path for path, kind in kinds_of(odd_set / "verify.csv") if kind == "duplicate"}
    assert f"{run_folder}/ten_times.avi" in copies and len(copies) == 6
    shown = " ".join(out.split())
    for text in (
        "its header claims 240 frames, 24 decode",
        "v_Run_two\\nlines_g01_c04.avi",
        "1 grey (grey.avi)",
        "1 rotated (rotated.mp4: 270 degrees)",
        "1 variable rate (variable_rate.mp4)",
        "1 large (large.avi: 3840x2160)",
        "1 empty, 1 not a video, 1 truncated, 1 wrong header, 3 short",
        "--data.exclude",
    ):
        assert text in shown, text


def test_fewer_frames_may_be_enough(odd_set, capsys):
    code, _, _ = run("--root", odd_set, "--min-frames", 1, capsys=capsys)
    assert code == 1
    assert "short" not in {kind for _, kind in kinds_of(odd_set / "verify.csv")}


def test_training_on_what_is_left(odd_set, capsys):
    run("--root", odd_set, "--jobs", 2, capsys=capsys)
    file = odd_set / "verify.csv"
    file.write_text(file.read_text().replace(",short,no,", ",short,yes,"))
    data = VideoFolder(
        root=str(odd_set),
        exclude=str(file),
        frames=4,
        size=(16, 24),
        resize=(32, 48),
        batch_size=2,
        num_workers=0,
    )
    names = {video.path.name for video in data.videos("train")}
    assert names.isdisjoint({"empty.avi", "text.avi", "truncated.avi", "one_frame.avi"})
    assert {"good.avi", "grey.avi", "v_Walk_g02_c01.avi"} <= names


def test_a_second_run_decodes_nothing_again(sound, capsys):
    run("--root", sound, capsys=capsys)
    _, out, _ = run("--root", sound, capsys=capsys)
    assert "6 of them known from before" in out
    write_noise(sound / "videos/Run/v_Run_g02_c01.avi", seed=77)
    _, out, _ = run("--root", sound, capsys=capsys)
    assert "5 of them known from before" in out
    _, out, _ = run("--root", sound, "--fresh", capsys=capsys)
    assert "known from before" not in out


def test_the_list_goes_where_it_is_wanted(sound, tmp_path, capsys):
    file = tmp_path / "lists" / "found.csv"
    run("--root", sound, "--csv", file, capsys=capsys)
    assert rows_of(file) == []
    assert sorted(path.name for path in sound.iterdir()) == ["splits", "videos"]


def test_what_a_user_decided_stays(sound, capsys):
    """A short video is left in by default, and here is not; rows of one's own stay too."""
    write_noise(sound / "videos/Run/v_Run_g02_c01.avi", seed=5, frames=9)
    (sound / "videos/Run/v_Run_g03_c01.avi").write_bytes(b"")
    run("--root", sound, capsys=capsys)
    file = sound / "verify.csv"
    text = file.read_text()
    text = text.replace(",short,no,", ",short,yes,").replace(",empty,yes,", ",empty,no,")
    file.write_text(text + "videos/Jump/v_Jump_g02_c01.avi,blurred,yes,,seen by me\n")
    run("--root", sound, capsys=capsys)
    assert [(row["kind"], row["exclude"], row["detail"]) for row in rows_of(file)] == [
        ("empty", "no", "0 bytes"),
        ("short", "yes", "9 frames, fewer than 16"),
        ("blurred", "yes", "seen by me"),
    ]


def test_warnings_leave_the_exit_code_alone_unless_asked(sound, capsys):
    lines = "Jump/v_Jump_g02_c01.avi 1\nRun/v_Run_g01_c01.avi 2\n"
    (sound / "splits/trainlist02.txt").write_text(lines)
    (sound / "splits/testlist02.txt").write_text("Jump/v_Jump_g01_c01.avi\nRun/v_Run_g02_c01.avi\n")
    code, out, _ = run("--root", sound, capsys=capsys)
    assert code == 0
    assert "all is well; warnings: 1 group in both." in out
    assert run("--root", sound, "--strict", capsys=capsys)[0] == 1


def test_long_lists_are_cut_in_the_table_alone(sound, capsys):
    append(sound / "splits/trainlist01.txt", "".join(f"Run/a{n}.avi 2\n" for n in range(30)))
    _, out, _ = run("--root", sound, "--show", 2, capsys=capsys)
    assert "... and 28 more" in out and "30 missing" in out
    assert len(rows_of(sound / "verify.csv")) == 30
    _, out, _ = run("--root", sound, "--show", 0, capsys=capsys)
    assert " more" not in out.replace("more)", "") and out.count("not on disk") == 30


def test_a_hang_and_a_crash_cost_their_files(sound, stubs, capsys):
    findings = verify(Options(str(sound), jobs=2, timeout=1.0), stubs.by_name)
    assert [(f.path, f.kind, f.detail) for f in findings] == [
        (f"videos/{c}/v_{c}_g{g}_c01.avi", kind, detail)
        for kind, g, detail in (
            ("timeout", "02", "no progress in 1 s"),
            ("crash", "03", "the decoding process ended by SIGSEGV"),
        )
        for c in ("Jump", "Run")
    ]
    assert all(row["exclude"] == "yes" for row in rows_of(sound / "verify.csv"))
    # With more time, and a decoder that does not crash, they are sound.
    assert verify(Options(str(sound), jobs=2, timeout=30.0)) == []
    assert "2 of them known from before" in capsys.readouterr().out


def test_a_named_pipe_does_not_hang_it(sound, capsys):
    os.mkfifo(sound / "videos/Run/v_Run_g04_c01.avi")
    code, _, _ = run("--root", sound, capsys=capsys)
    assert code == 1
    assert ("videos/Run/v_Run_g04_c01.avi", "not a video") in kinds_of(sound / "verify.csv")


def interrupted(root, stubs, number):
    """Start a slow run, and send it a signal after some files; its exit code and output."""
    for group in range(4, 20):
        write_noise(root / f"videos/Run/v_Run_g{group:02d}_c01.avi", seed=group, frames=9)
    code = (
        "import signal\n"
        # Where the tests run in the background, it would be ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import work_of_verify as w\n"
        "from videowino.cli import run\n"
        "from videowino.preparing.verify.command import verify\n"
        "from videowino.preparing.verify.options import Options\n"
        f"run(lambda: verify(Options({str(root)!r}, jobs=1), w.slowly))\n"
    )
    path = os.pathsep.join([str(Path(stubs.__file__).parent), str(ROOT)])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    cache = root / ".verify.csv.cache"
    end = time.monotonic() + 120
    while not cache.is_file() or cache.read_text().count("\n") < 9:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_after_a_kill_it_goes_on(sound, stubs, capsys):
    assert interrupted(sound, stubs, signal.SIGKILL)[0] == -signal.SIGKILL
    _, out, _ = run("--root", sound, capsys=capsys)
    known = int(out.split(" of them known from before")[0].rpartition(", ")[2])
    assert 8 <= known < 22
    assert "22 files in" in out and "16 unlisted" in out


def test_ctrl_c_keeps_what_was_found(sound, stubs, capsys):
    file = sound / "verify.csv"
    late = "videos/Run/v_Run_g19_c01.avi"
    file.write_text(f"path,kind,exclude,split,detail\n{late},short,yes,,of before\n")
    code, out, err = interrupted(sound, stubs, signal.SIGINT)
    assert (code, err) == (130, "interrupted\n")
    assert "files are not verified; the same command goes on from here" in out
    found = kinds_of(file)
    assert ("videos/Run/v_Run_g04_c01.avi", "short") in found
    assert ("videos/Run/v_Run_g18_c01.avi", "short") not in found
    assert (late, "short") in found  # as it was: this run did not come to it
    run("--root", sound, capsys=capsys)
    assert len([kind for _, kind in kinds_of(file) if kind == "short"]) == 16
    (row,) = [r for r in rows_of(file) if r["path"] == late and r["kind"] == "short"]
    assert (row["exclude"], row["detail"]) == ("yes", "9 frames, fewer than 16")


def test_fix(odd_set, capsys):
    originals = {
        name: (odd_set / f"videos/Run/{name}.avi").read_bytes()
        for name in ("truncated", "ten_times")
    }
    code, out, err = run("--root", odd_set, "--fix", capsys=capsys)
    assert (code, err) == (1, "")
    for text in (
        "not mended: videos/Run/empty.avi: empty: cannot be mended",
        "not mended: videos/Run/text.avi: not a video: cannot be mended",
        "mended: videos/Run/ten_times.avi: 24 frames, frames copied",
        "mended: videos/Run/truncated.avi: 6 frames, frames copied",
        f"2 originals are kept in {odd_set / '.originals'}",
    ):
        assert text in out, text
    for name, content in originals.items():
        assert (odd_set / f".originals/videos/Run/{name}.avi").read_bytes() == content
    run("--root", odd_set, "--fresh", capsys=capsys)
    found = {kind for _, kind in kinds_of(odd_set / "verify.csv")}
    assert found == {"empty", "not a video", "short", "duplicate", "unlisted"}


def test_a_set_may_be_clean_after_a_fix(sound, odd, capsys):
    shutil.copy(odd["ten_times"], sound / "videos/Run/v_Run_g02_c01.avi")
    assert run("--root", sound, capsys=capsys)[0] == 1
    assert run("--root", sound, "--fix", capsys=capsys)[0] == 0
    assert run("--root", sound, capsys=capsys)[0] == 0


def test_a_name_that_is_no_text(sound, capsys):
    name = os.fsdecode(b"v_Run_caf\xe9_g09_c01.avi")
    write_noise(sound / "videos/Run/v_Run_g09_c01.avi", frames=9).rename(
        sound / "videos/Run" / name
    )
    for _ in range(2):
        code, out, _ = run("--root", sound, capsys=capsys)
        assert code == 1 and "v_Run_caf\\udce9_g09_c01.avi" in out and "2 short" not in out
    assert b"v_Run_caf\xe9_g09_c01.avi,short,no," in (sound / "verify.csv").read_bytes()
    assert "7 of them known from before" in out
    (row, _) = read_rows(sound / "verify.csv")
    assert (sound / row["path"]).is_file()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--jobs", "-1"], "jobs=-1: at least 1, or 0 for one a core"),
        (["--min-frames", "0"], "min_frames=0: at least 1"),
        (["--timeout", "0"], "timeout=0: more than 0 seconds"),
        (["--show", "-3"], "show=-3: 0 (all) or more"),
        (["--dataset", "kinetics"], "dataset='kinetics': one of ucf101, hmdb51, folder"),
        (["--dataset", "ucf101"], "no ucfTrainTestlist/classInd.txt in it"),
        (["--job", "2"], "unknown option 'job'; did you mean 'jobs'?"),
        (["--jobs", "many"], "jobs"),
        (["--root", "nowhere"], "root='nowhere': no such folder"),
        (["--csv", "/dev/null/found.csv"], "cannot be written (File exists); name another"),
        (["--csv", str(Path(__file__))], "there is a file that verify did not write"),
    ],
)
def test_misuse_is_one_line(sound, args, message, capsys):
    code, out, err = run("--root", sound, *args, capsys=capsys)
    assert code == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err


def test_without_a_root(capsys):
    code, _, err = run(capsys=capsys)
    assert code == 2 and "root" in err and err.count("\n") == 1


def test_the_documents_name_every_kind():
    text = (ROOT / "docs" / "data.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        ("survfight", 300, {}),
        ("avletters", 780, {"short": 12, "group in both": 1}),
        ("ucf101", 4, {"missing": 13316}),
        ("hmdb51", 5, {"missing": 6761, "group in both": 3}),
    ],
)
def test_real_sets(shared_data, tmp_path, name, files, found, capsys):
    """Clips of fewer than 16 frames, a split by repetition, a few clips of the benchmarks'."""
    if not (shared_data / name).is_dir():
        pytest.skip(f"no {name} in {shared_data}")
    before = sorted(path.name for path in (shared_data / name).iterdir())
    file = tmp_path / "found.csv"
    code, out, err = run("--root", shared_data / name, "--csv", file, capsys=capsys)
    assert (code, err) == (1 if set(found) - {"group in both"} else 0, "")
    counts = {}
    for row in rows_of(file):
        counts[row["kind"]] = counts.get(row["kind"], 0) + 1
    assert counts == found
    assert f"{files:,} files in" in out
    assert sorted(path.name for path in (shared_data / name).iterdir()) == before
