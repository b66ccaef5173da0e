"""`datasets/prepare.py` as it is called."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.conftest import write_counting
from tests.preparing.conftest import ucf_names, write_hmdb, write_ucf
from videowino.data import UCF101
from videowino.preparing.command import main
from videowino.preparing.reencode import Encoding, tag_of

ROOT = Path(__file__).parents[2]


def call(*args, **options):
    given = [str(arg) for arg in args]
    for name, value in options.items():
        given += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    main(given, "test")


@pytest.fixture
def clips(tmp_path):
    """Archives of UCF101 in miniature whose clips can be decoded."""
    files = {}
    for name in ucf_names():
        files[name] = write_counting(tmp_path / "made" / name, frames=30).read_bytes()
    return write_ucf(tmp_path / "archives", files)


@pytest.mark.parametrize(("name", "count"), [("ucf101", 8), ("hmdb51", 6)])
def test_unpacks_and_says_what_is_there(tmp_path, small, capsys, name, count):
    archives = {"ucf101": write_ucf, "hmdb51": write_hmdb}[name](tmp_path / "archives")
    root = tmp_path / "my root"
    call(name, root=root, archives=archives)
    said = capsys.readouterr().out
    assert f"{count} clips unpacked, 0 were there" in said
    assert f"in {root}: {count} of {count} clips" in said
    assert ("│ 3     │ 6 of 6         │ 2 of 2     │" in said) == (name == "ucf101")
    assert ("│ 3     │ 4 of 4         │ 2 of 2     │" in said) == (name == "hmdb51")
    assert f"--config configs/c3d_{name}.yaml --data.root '{root}' --run runs/c3d_{name}" in said
    assert (ROOT / f"configs/c3d_{name}.yaml").is_file()
    call(name, root=root)
    assert f"{root}: already prepared, nothing to do" in capsys.readouterr().out


def test_missing_clips_are_named_and_listed(tmp_path, small, capsys):
    names = ucf_names()
    root = write_ucf(tmp_path / "root", {name: b"1" for name in names[2:]})
    with pytest.raises(
        ValueError, match="2 of 8 clips are not in .*missing.txt.: v_Jump_g01_c01.avi, v_Jump_g02_"
    ):
        call("ucf101", root=root)
    assert "│ 1     │ 5 of 6         │ 1 of 2     │" in capsys.readouterr().out
    assert (root / "missing.txt").read_text().split() == names[:2]
    write_ucf(root)
    call("ucf101", root=root)
    assert not (root / "missing.txt").exists()


def test_reencodes_to_the_side(tmp_path, small, clips, capsys):
    root = tmp_path / "ucf"
    call("ucf101", root=root, archives=clips, reencode=True, gop=8, short_side=16)
    said = capsys.readouterr().out
    assert f"--data.root {root}-16 --run" in said and "│ 8 " in said
    out = Path(f"{root}-16")
    data = UCF101(root=str(out), missing="error", frames=4, size=(16, 16), resize=16, num_workers=0)
    data.setup("fit")
    assert next(iter(data.train_dataloader()))["clip"].shape == (6, 3, 4, 16, 16)
    assert {tag_of(out / "videos" / name) for name in ucf_names()} == {Encoding(16, 8).tag}
    assert {tag_of(root / "videos" / name) for name in ucf_names()} == {None}


def test_reencodes_in_place_and_unpacks_no_original_over_it(tmp_path, small, clips, capsys):
    root = tmp_path / "ucf"
    call("ucf101", root=root, archives=clips, reencode=True, replace=True)
    assert {tag_of(root / "videos" / name) for name in ucf_names()} == {Encoding().tag}
    assert f"--data.root {root} --run" in capsys.readouterr().out
    (root / "videos" / ucf_names()[0]).unlink()
    call("ucf101", root=root, archives=clips)
    tags = [tag_of(root / "videos" / name) for name in ucf_names()]
    assert tags == [None] + [Encoding().tag] * 7


def test_clips_of_your_own(tmp_path, capsys):
    write_counting(tmp_path / "mine" / "videos" / "Run" / "a.avi")
    (tmp_path / "mine" / "videos" / "Run" / "bad.avi").write_text("no video")
    with pytest.raises(
        ValueError, match="1 clips could not be re-encoded and .*bad.avi: cannot be"
    ):
        call("folder", root=tmp_path / "mine", reencode=True, out=tmp_path / "o", jobs=1)
    assert tag_of(tmp_path / "o" / "videos" / "Run" / "a.avi") == Encoding().tag


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (["ucf"], {}, "set"),
        (["ucf101"], {"jobs": 0}, "jobs=0: at least 1"),
        (["ucf101"], {"checksums": "skip"}, "checksums='skip': error or warn"),
        (["ucf101"], {"archive": "x"}, "unknown option 'archive'; did you mean 'archives'"),
        (["ucf101"], {"gop": "x"}, "gop"),
        (["folder"], {}, "there is nothing to unpack; --reencode re-encodes it"),
        (["folder"], {"reencode": True, "codec": "vp9"}, "codec='vp9': mpeg4 or h264"),
        (
            ["folder"],
            {"reencode": True, "replace": True, "out": "x"},
            "out='x': with --replace, clips are put in the originals' place",
        ),
    ],
)
def test_misuse(tmp_path, args, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        call(*args, root=tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="root='.*nowhere': no such folder"):
        call("folder", root=tmp_path / "nowhere", reencode=True)


def test_one_line_and_exit_code_2_for_what_the_user_can_mend(tmp_path):
    (tmp_path / "test_train_splits.rar").write_text("<html>")
    done = subprocess.run(
        [
            sys.executable,
            "datasets/prepare.py",
            "hmdb51",
            "--root",
            tmp_path,
            "--checksums",
            "warn",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    *warnings, error = done.stderr.splitlines()
    assert error.startswith("error: ") and "test_train_splits.rar: no .rar and no .zip" in error
    assert len(warnings) == 1 and warnings[0].startswith("warning: ")
