import shutil

from tests.preparing.verify.conftest import remux
from tests.preparing.verify.test_lists import append, hmdb51
from videowino.preparing.verify.duplicates import check_duplicates
from videowino.preparing.verify.findings import Finding
from videowino.preparing.verify.layout import read_layout
from videowino.preparing.verify.scan import Scan, scan_file

RUN = "videos/Run/v_Run"


def found(root):
    layout = read_layout(root)
    return check_duplicates(layout, {path: scan_file(root / path) for path in layout.files})


def test_a_sound_set_has_none(sound):
    assert found(sound) == []


def test_copies_by_bytes_and_by_frames(sound):
    shutil.copy(sound / f"{RUN}_g02_c01.avi", sound / f"{RUN}_g02_c02.avi")
    remux(sound / f"{RUN}_g02_c01.avi", sound / f"{RUN}_g02_c03.mkv")
    shutil.copy(sound / f"{RUN}_g02_c01.avi", sound / "videos/Jump/v_Jump_g02_c02.avi")
    assert sorted(found(sound), key=lambda f: f.path) == [
        Finding(
            "videos/Jump/v_Jump_g02_c02.avi",
            "duplicate",
            f"the same bytes as {RUN}_g02_c01.avi, which is of another class",
        ),
        Finding(f"{RUN}_g02_c02.avi", "duplicate", f"the same bytes as {RUN}_g02_c01.avi"),
        Finding(
            f"{RUN}_g02_c03.mkv",
            "duplicate",
            f"the same frames (in a file of other bytes) as {RUN}_g02_c01.avi",
        ),
    ]


def test_broken_files_are_copies_by_their_bytes_and_empty_ones_never(sound):
    for number in (2, 3):
        (sound / f"{RUN}_g02_c0{number}.avi").write_text("<html>Not found</html>")
        (sound / f"{RUN}_g03_c0{number}.avi").touch()
    said = f"the same bytes as {RUN}_g02_c02.avi"
    assert found(sound) == [Finding(f"{RUN}_g02_c03.avi", "duplicate", said)]


def test_what_is_not_scanned_yet_is_left_out(sound):
    layout = read_layout(sound)
    scans = {path: Scan("timeout", "no progress in 60 s") for path in layout.files[:3]}
    assert check_duplicates(layout, scans) == []


def test_the_same_content_in_training_and_test(sound):
    """Named is the training file: without it the test stays what it is."""
    remux(sound / f"{RUN}_g01_c01.avi", sound / f"{RUN}_g03_c02.mkv")
    append(sound / "splits/trainlist01.txt", "Run/v_Run_g03_c02.mkv 2\n")
    said = f"the same frames (in a file of other bytes) as {RUN}_g01_c01.avi"
    assert found(sound) == [
        Finding(f"{RUN}_g03_c02.mkv", "duplicate", said),
        Finding(f"{RUN}_g03_c02.mkv", "crossing", f"{said} of the test list", "1"),
    ]


def test_a_group_in_training_and_test(sound):
    """Groups 1 and 4 test; of group 1 there is a clip in training too."""
    for name in ("v_Run_g04_c01", "v_Jump_g01_c02"):
        path = sound / "videos" / name.split("_")[1] / f"{name}.avi"
        remux(sound / f"{RUN}_g02_c01.avi", path)
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    append(sound / "splits/testlist01.txt", "Run/v_Run_g04_c01.avi\n")
    append(sound / "splits/trainlist01.txt", "Jump/v_Jump_g01_c02.avi 1\n")
    assert [f for f in found(sound) if f.kind == "crossing group"] == [
        Finding(
            "videos/Jump/v_Jump_g01_c02.avi",
            "crossing group",
            "group g01: 1 training videos, videos/Jump/v_Jump_g01_c01.avi in test and 1 more",
            "1",
        )
    ]


def test_a_split_by_something_else_than_groups_is_one_warning(sound):
    lines = "Jump/v_Jump_g02_c01.avi 1\nRun/v_Run_g01_c01.avi 2\n"
    (sound / "splits/trainlist02.txt").write_text(lines)
    (sound / "splits/testlist02.txt").write_text("Jump/v_Jump_g01_c01.avi\nRun/v_Run_g02_c01.avi\n")
    said = "all 2 groups are in training and test: g01, g02; 2 training and 2 test videos"
    assert found(sound) == [Finding("splits/testlist02.txt", "group in both", said, "2")]


def test_hmdb51s_films_are_a_guess(tmp_path):
    root = hmdb51(tmp_path)
    lists = root / "testTrainMulti_7030_splits"
    append(lists / "climb_test_split1.txt", "Film1_climb_u_cm_np1_le_med_7.avi 1\n")
    (finding,) = [f for f in check_duplicates(read_layout(root), {})]
    assert finding.kind == "group in both" and finding.split == "1"
    assert finding.path == "testTrainMulti_7030_splits"
    assert finding.detail == (
        "all 1 groups, as far as names tell, are in training and test: Film1; "
        "1 training and 2 test videos"
    )
