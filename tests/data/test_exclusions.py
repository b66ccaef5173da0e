import warnings

import pytest

from tests.data.conftest import write_folder, write_lists
from tests.data.test_datamodules import SMALL
from videowino.data import VideoFolder
from videowino.data.exclusions import read_rows

HEADING = "path,kind,exclude,split,detail\n"
RUN = "videos/Run/v_Run"


pytestmark = pytest.mark.filterwarnings("ignore:.*leaves out")


@pytest.fixture
def listed(tmp_path):
    """Two classes of four groups, of which group 1 tests."""
    return write_lists(write_folder(tmp_path / "clips"))


def exclude(listed, text, **options):
    file = listed / "verify.csv"
    file.write_text(text, encoding="utf-8")
    return VideoFolder(root=str(listed), exclude=str(file), **{**SMALL, **options})


def names(data, part):
    return [video.path.stem for video in data.videos(part)]


def test_what_says_yes_is_left_out_and_counted_once(listed):
    data = exclude(
        listed,
        HEADING
        + f"{RUN}_g02_c01.avi,corrupt,yes,,broken\n"
        + f"{RUN}_g03_c01.avi,short,no,,15 frames\n"
        + f"{RUN}_g01_c01.avi,empty,Yes ,,0 bytes\n"
        + f"{RUN}_g99_c01.avi,missing,no,,not on disk\n",
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert names(data, "test") == ["v_Jump_g01_c01"]
            assert "v_Run_g02_c01" not in names(data, "train")
            assert "v_Run_g03_c01" in names(data, "train")
    assert [str(warning.message) for warning in caught] == [
        f"data.exclude={str(listed / 'verify.csv')!r}: leaves out 1 of 6 training and 1 of 2 "
        "test videos of split 1"
    ]


def test_without_a_list_nothing_is_left_out(listed):
    assert len(names(VideoFolder(root=str(listed), **SMALL), "train")) == 6


def test_one_yes_is_enough(listed):
    rows = f"{RUN}_g02_c01.avi,short,no,,\n{RUN}_g02_c01.avi,duplicate,yes,,\n"
    assert "v_Run_g02_c01" not in names(exclude(listed, HEADING + rows), "train")


def test_a_line_for_one_split_is_for_that_one(listed):
    write_lists(listed, test_groups=(2,), number=2)
    rows = HEADING + f"{RUN}_g03_c01.avi,crossing,yes,2,as v_Run_g02\n"
    assert "v_Run_g03_c01" in names(exclude(listed, rows), "train")
    assert "v_Run_g03_c01" not in names(exclude(listed, rows, split=2), "train")


def test_a_set_can_be_moved(listed, tmp_path):
    data = exclude(listed, HEADING + f"{RUN}_g02_c01.avi,corrupt,yes,,\n")
    moved = listed.rename(tmp_path / "moved")
    data = VideoFolder(root=str(moved), exclude=str(moved / "verify.csv"), **SMALL)
    assert len(names(data, "train")) == 5


def test_a_split_of_its_own_does_not_shift(tmp_path):
    """Without lists, groups are drawn before anything is left out."""
    root = write_folder(tmp_path / "clips", groups=6)
    whole = VideoFolder(root=str(root), **SMALL)
    first = whole.videos("train")[0].path
    data = exclude(root, HEADING + f"{first.relative_to(root).as_posix()},corrupt,yes,,\n")
    assert data.videos("train") == whole.videos("train")[1:]
    assert data.videos("test") == whole.videos("test")


def test_what_is_excluded_is_not_missed(listed):
    (listed / f"{RUN}_g02_c01.avi").unlink()
    data = exclude(listed, HEADING + f"{RUN}_g02_c01.avi,missing,yes,,\n", missing="error")
    assert len(names(data, "train")) == 5  # where an absent file that is listed is an error


@pytest.mark.parametrize(
    "text",
    [
        f"path,exclude\n{RUN}_g02_c01.avi,1\n",
        f"path;kind;exclude\n{RUN}_g02_c01.avi;corrupt;yes\n",  # saved by a spreadsheet
        f"\ufeffexclude\tpath\r\nTRUE\t{RUN}_g02_c01.avi\r\n",
        f'path,exclude\n"{RUN}_two\nlines.avi",no\n{RUN}_g02_c01.avi,yes\n',
    ],
)
def test_lists_as_people_save_them(listed, text):
    assert len(names(exclude(listed, text), "train")) == 5


def test_a_list_of_another_set(listed):
    data = exclude(listed, HEADING + "videos/Swim/v_Swim_g01_c01.avi,corrupt,yes,,\n")
    with pytest.warns(UserWarning, match="none of the 1 videos that it excludes is in .*another"):
        assert len(names(data, "train")) == 6


def test_an_empty_list_is_a_good_one(listed, recwarn):
    assert len(names(exclude(listed, HEADING), "train")) == 6
    assert not recwarn


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'path' in its first line; expected path,kind,exclude,split,detail"),
        ("path,kind\na.avi,corrupt\n", "no column 'exclude' in its first line"),
        ("path,exclude\na.avi,perhaps\n", r"row 1 \(a.avi\) has exclude='perhaps'; expected yes"),
        ("path,exclude\na.avi,yes,,\n", "row 1 has more cells than the first line"),
        ('path,exclude\n"a.avi"b,yes\n', "not a CSV file"),
    ],
)
def test_lists_that_are_none(listed, text, message):
    with pytest.raises(ValueError, match=f"data.exclude='.*verify.csv': {message}"):
        exclude(listed, text).setup("fit")


def test_other_misuse(listed):
    missing = VideoFolder(root=str(listed), exclude="none.csv", **SMALL)
    with pytest.raises(FileNotFoundError, match="data.exclude='none.csv': no such file; python"):
        missing.setup("fit")
    rows = "".join(f"videos/{c}/v_{c}_g01_c01.avi,corrupt,yes,,\n" for c in ("Jump", "Run"))
    with pytest.raises(ValueError, match="it excludes all 2 videos of the test list"):
        exclude(listed, HEADING + rows).setup("test")


def test_rows_keep_all_columns(tmp_path):
    file = tmp_path / "list.csv"
    file.write_text("path,exclude,mine\na.avi,y,1\nb.avi,,2\nc.avi\n")
    assert [(row["path"], row["exclude"], row["mine"]) for row in read_rows(file)] == [
        ("a.avi", "yes", "1"),
        ("b.avi", "no", "2"),
        ("c.avi", "no", ""),
    ]
