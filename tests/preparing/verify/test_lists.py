import pytest

from tests.preparing.verify.conftest import write_set
from videowino.preparing.verify.findings import Finding, in_order
from videowino.preparing.verify.layout import detect, read_layout
from videowino.preparing.verify.lists import check_lists

TRAIN, TEST = "splits/trainlist01.txt", "splits/testlist01.txt"


def found(root, dataset=None):
    """(path, kind, detail) of each finding."""
    findings = in_order(check_lists(read_layout(root, dataset)))
    return [(f.path, f.kind, f.detail) for f in findings]


def append(path, text):
    path.write_text(path.read_text() + text)


def hmdb51(root, folder="testTrainMulti_7030_splits"):
    """Two classes, each with a training, a test and an unused clip."""
    (root / folder).mkdir(parents=True)
    for name in ("climb", "punch"):
        lines = ""
        for number, mark in enumerate((1, 2, 0)):
            clip = f"Film{number}_{name}_f_cm_np1_le_med_0.avi"
            (root / "videos" / name).mkdir(parents=True, exist_ok=True)
            (root / "videos" / name / clip).write_bytes(b"clip")
            lines += f"{clip} {mark} \n"
        (root / folder / f"{name}_test_split1.txt").write_text(lines)
    return root


def ucf101(root):
    write_set(root)
    (root / "splits").rename(root / "ucfTrainTestlist")
    (root / "videos").rename(root / "UCF-101")
    return root


def test_a_sound_set_has_nothing(sound):
    assert found(sound) == []
    assert detect(sound) == "folder"


def test_layouts_are_told_by_their_lists(tmp_path):
    assert detect(ucf101(tmp_path / "ucf")) == "ucf101"
    assert found(tmp_path / "ucf") == []
    for folder in ("testTrainMulti_7030_splits", "splits"):
        assert detect(hmdb51(tmp_path / folder, folder)) == "hmdb51"
        assert found(tmp_path / folder) == []
    layout = read_layout(tmp_path / "ucf")
    assert layout.videos == "UCF-101" and len(layout.files) == len(layout.entries) == 6
    # As a folder of one's own it has no lists, and its classes are in no "videos".
    assert read_layout(tmp_path / "ucf", "folder").entries == []


def test_clips_in_the_root(sound):
    for folder in list((sound / "videos").iterdir()):
        folder.rename(sound / folder.name)
    (sound / "videos").rmdir()
    (sound / "notes").mkdir()
    assert found(sound) == []
    layout = read_layout(sound)
    assert layout.videos == "." and layout.files[0] == "Jump/v_Jump_g01_c01.avi"


def test_listed_and_not_there(sound):
    (sound / "videos" / "Run" / "v_Run_g02_c01.avi").unlink()
    (sound / "splits" / "trainlist02.txt").write_text("Run/v_Run_g02_c01.avi 2\n")
    (sound / "splits" / "testlist02.txt").write_text("Run/v_Run_g01_c01.avi\n")
    said = f"listed ({TRAIN}:3 and 1 more), not on disk"
    assert found(sound) == [("videos/Run/v_Run_g02_c01.avi", "missing", said)]


def test_there_and_not_listed(sound):
    run = sound / "videos" / "Run"
    (run / "v_Run_g09_c01.mp4").write_bytes(b"clip")
    (run / "notes.txt").write_text("no video")
    (run / "inner").mkdir()
    (run / "inner" / "v_Run_g10_c01.avi").write_bytes(b"clip")
    (run / ".hidden").mkdir()
    (run / ".hidden" / "v_Run_g11_c01.avi").write_bytes(b"clip")
    (sound / "videos" / "loose.avi").write_bytes(b"clip")
    assert found(sound) == [
        ("videos/Run/v_Run_g09_c01.mp4", "unlisted", "no split list names it"),
        ("videos/Run/inner/v_Run_g10_c01.avi", "misplaced", "in a folder inside a class folder"),
        ("videos/loose.avi", "misplaced", "in no class folder"),
    ]


def test_without_lists_nothing_is_unlisted(sound):
    for path in (sound / "splits").iterdir():
        path.unlink()
    assert found(sound) == []
    assert read_layout(sound).classes is None


def test_class_folders(sound):
    (sound / "videos" / "Swim").mkdir()
    (sound / "videos" / "Swim" / "v_Swim_g01_c01.avi").write_bytes(b"clip")
    for path in (sound / "videos" / "Jump").iterdir():
        path.unlink()
    folders = [f for f in found(sound) if f[1] != "missing"]
    assert folders == [
        ("videos/Swim", "unknown class", "not in the class list; 1 video files"),
        ("videos/Jump", "empty class", "no video file in the class folder"),
    ]


def test_wrong_class_numbers(sound):
    append(sound / TRAIN, "Run/v_Run_g01_c01.avi 1\nSwim/v_Swim_g01_c01.avi 3\n")
    wrong = [f for f in found(sound) if f[1] == "wrong class"]
    assert wrong == [
        ("videos/Run/v_Run_g01_c01.avi", "wrong class", f"{TRAIN}:5: class number 1, Run is 2"),
        ("videos/Swim/v_Swim_g01_c01.avi", "wrong class", f"{TRAIN}:6: no class 'Swim'"),
    ]


def test_listed_twice_in_one_list(sound):
    append(sound / TEST, "\nRun/v_Run_g01_c01.avi\n")
    assert found(sound) == [
        ("videos/Run/v_Run_g01_c01.avi", "listed twice", f"{TEST}, lines 2, 4"),
    ]


def test_in_both_lists_of_a_split(sound):
    append(sound / TRAIN, "Run/v_Run_g01_c01.avi 2\n")
    assert check_lists(read_layout(sound)) == [
        Finding(
            "videos/Run/v_Run_g01_c01.avi", "crossing", "in the training and in the test list", "1"
        )
    ]


def test_lists_that_cannot_be_read(sound):
    append(sound / TRAIN, "v_Run_g01_c01.avi 2\n")
    (sound / "splits" / "trainlist02.txt").write_text("\n")
    (sound / "splits" / "testlist03.txt").write_bytes(b"Run/caf\xe9.avi\n")
    said = "line 5: 'v_Run_g01_c01.avi 2' names no file in a class folder"
    assert found(sound) == [
        ("splits/testlist02.txt", "bad list", "its other half is there alone"),
        ("splits/testlist03.txt", "bad list", "not UTF-8 text (byte 8); save the list as UTF-8"),
        ("splits/trainlist01.txt", "bad list", said),
        ("splits/trainlist02.txt", "bad list", "names nothing"),
        ("splits/trainlist03.txt", "bad list", "its other half is there alone"),
    ]


def test_a_class_list_that_cannot_be_read(sound):
    (sound / "splits" / "classInd.txt").write_text("1 Jump\n3 Run\n")
    said = "classes must be numbered 1..n without gaps"
    assert found(sound) == [("splits/classInd.txt", "bad list", said)]


def test_hmdb51s_lists(tmp_path):
    root = hmdb51(tmp_path)
    climb = root / "testTrainMulti_7030_splits" / "climb_test_split1.txt"
    append(climb, "Film9_climb_f_cm_np1_le_med_0.avi 1\nFilm0_climb_f_cm_np1_le_med_0.avi 3\n")
    (root / "videos" / "climb" / "more.avi").write_bytes(b"clip")
    place = "testTrainMulti_7030_splits/climb_test_split1.txt"
    said = "line 5: cannot read 'Film0_climb_f_cm_np1_le_med_0.avi 3'; expected 'name.avi 0|1|2'"
    assert found(root) == [
        (
            "videos/climb/Film9_climb_f_cm_np1_le_med_0.avi",
            "missing",
            f"listed ({place}:4), not on disk",
        ),
        ("videos/climb/more.avi", "unlisted", "no split list names it"),
        (place, "bad list", said),
    ]


def test_misuse(tmp_path):
    with pytest.raises(FileNotFoundError, match="none': no such folder"):
        read_layout(tmp_path / "none")
    with pytest.raises(ValueError, match="no video file in .*no split list; expected is videos/"):
        read_layout(tmp_path)
    with pytest.raises(ValueError, match="no ucfTrainTestlist/classInd.txt in it"):
        read_layout(tmp_path, "ucf101")
    with pytest.raises(ValueError, match=r"no testTrainMulti_7030_splits/\*_test_split1.txt in it"):
        read_layout(tmp_path, "hmdb51")
    with pytest.raises(ValueError, match="dataset='kinetics': one of ucf101, hmdb51, folder"):
        read_layout(tmp_path, "kinetics")
