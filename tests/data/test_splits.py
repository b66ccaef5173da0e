from collections import Counter
from pathlib import Path

import pytest

from tests.data.conftest import write_folder
from videowino.data.hmdb51 import source_of
from videowino.data.splits import (
    Video,
    carve,
    class_folders,
    group_of,
    inside,
    keep_present,
    limit,
    listed_videos,
    read_class_index,
    read_lines,
    smallest_group,
)


def written(path, text):
    path.write_bytes(text.encode())
    return path


def test_class_index_with_dos_line_ends_blanks_and_any_order(tmp_path):
    path = written(tmp_path / "classInd.txt", "2 Ski Jump \r\n\r\n1 Archery\r\n10 Z\r\n")
    with pytest.raises(ValueError, match="classInd.txt: classes must be numbered 1..n"):
        read_class_index(path)
    written(path, "\ufeff2 Ski Jump \r\n\r\n1 Archery\r\n3 Z\r\n")
    assert read_class_index(path) == ["Archery", "Ski Jump", "Z"]


@pytest.mark.parametrize("line", ["Archery", "1", "x Archery", "1 A\n1 B"])
def test_class_index_that_cannot_be_read(tmp_path, line):
    path = written(tmp_path / "classInd.txt", line + "\n")
    with pytest.raises(ValueError, match="cannot read the line .*expected e.g. '1 Archery'"):
        read_class_index(path)


def test_listed_videos_with_and_without_numbers(tmp_path):
    path = written(
        tmp_path / "trainlist01.txt",
        "B/v_B_g02_c01.avi 2 \r\nA/odd (1)!+ name.mp4 1\r\n\r\nB/v_B_G11_c03.avi\r\n",
    )
    root = Path("/clips")
    assert listed_videos(path, root, ["A", "B"]) == [
        Video(root / "B/v_B_g02_c01.avi", 1, "g02"),
        Video(root / "A/odd (1)!+ name.mp4", 0, "A/odd (1)!+ name.mp4"),
        Video(root / "B/v_B_G11_c03.avi", 1, "g11"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("C/v_C_g01_c01.avi 3", "is in no folder of a known class"),
        ("v_A_g01_c01.avi 1", "is in no folder of a known class"),
        ("A/v_A_g01_c01.avi 2", "has class number 2, the class list gives A the number 1"),
    ],
)
def test_list_that_disagrees_with_the_classes(tmp_path, line, message):
    path = written(tmp_path / "trainlist01.txt", line)
    with pytest.raises(ValueError, match=f"trainlist01.txt: .*{message}"):
        listed_videos(path, tmp_path, ["A", "B"])


@pytest.mark.parametrize("name", ["../x/a.avi", "/etc/a.avi", "a/../../b.avi", "a\0.avi"])
def test_names_that_lead_out_of_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="l.txt: .* leads out of the data's folder"):
        inside(tmp_path, name, Path("l.txt"))
    path = tmp_path / "trainlist01.txt"
    path.write_text(f"{name}\n")
    folder = name.rpartition("/")[0]
    with pytest.raises(ValueError, match="leads out"):
        listed_videos(path, tmp_path / "videos", [folder])


def test_groups_of_names():
    assert group_of(Path("x/v_HandStandPushups_g07_c02.avi")) == "g07"
    assert group_of(Path("y/v_Archery_g07_c01.avi")) == "g07"  # in any class
    assert group_of(Path("x/holiday_2024.mp4")) == "x/holiday_2024.mp4"
    punch = "AdvancedBoxingTechniquesandExercises_punch_u_nm_np1_ba_med_23.avi"
    assert source_of(Path("punch") / punch) == "AdvancedBoxingTechniquesandExercises"
    smoke = [f"A_Beautiful_Mind_{n}_smoke_h_nm_np1_fr_goo_8.avi" for n in (1, 2)]
    assert {source_of(Path("smoke") / name) for name in smoke} == {"A_Beautiful_Mind"}


def test_class_folders(tmp_path):
    videos = write_folder(tmp_path, groups=2) / "videos"
    (videos / "notes.txt").touch()
    (videos / ".cache").mkdir()
    (videos / "Run" / "thumbs.db").touch()
    assert {name: len(files) for name, files in class_folders(videos).items()} == {
        "Jump": 2,
        "Run": 2,
    }
    (videos / "Sit").mkdir()
    (videos / "Sit" / "readme.txt").touch()
    with pytest.raises(ValueError, match="Sit: the class folder holds no video file"):
        class_folders(videos)


def listed(folder, names):
    return [Video(folder / "A" / name, 0, name) for name in names]


def test_absent_clips_are_counted_and_named_once(tmp_path, recwarn):
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "here").touch()
    videos = listed(tmp_path, ["a1", "here", "a2", "a3", "a4", "a5"])
    assert keep_present(videos, "root") == videos[1:2]
    assert [str(w.message) for w in recwarn] == [
        "data.root='root': 5 of 6 listed clips are not on disk and are left out: "
        "a1, a2, a3 and 2 more"
    ]
    with pytest.raises(FileNotFoundError, match="5 of 6 .*: a1, a2, a3 and 2 more; data.missing"):
        keep_present(videos, "root", missing="error")
    assert keep_present(videos[1:2], "root", missing="error") == videos[1:2]


def test_lists_that_name_nothing_on_disk(tmp_path):
    for missing in ("warn", "error"):
        with pytest.raises(ValueError, match="none of the 2 clips that the split lists name is in"):
            keep_present(listed(tmp_path, ["a1", "a2"]), "root", missing)
    with pytest.raises(ValueError, match="data.root='root': its split lists are empty"):
        keep_present([], "root")


def clips(counts, name="{label}-{group}"):
    """Videos by (label, group) and number."""
    return [
        Video(Path(f"{label}/{group}/{n}"), label, name.format(label=label, group=group))
        for (label, group), count in counts.items()
        for n in range(count)
    ]


def test_carving_takes_whole_groups_across_classes():
    sizes = {(label, f"g{g:02d}"): 4 + (g + label) % 4 for label in range(5) for g in range(25)}
    videos = clips(sizes, name="{group}")
    rest, taken = carve(videos, 0.2, seed=3)
    assert sorted(rest + taken, key=str) == sorted(videos, key=str)
    assert not {v.group for v in rest} & {v.group for v in taken}
    whole = Counter(v.label for v in videos)
    for label, count in Counter(v.label for v in taken).items():
        assert count / whole[label] == pytest.approx(0.2, abs=0.04)
    assert carve(videos, 0.2, seed=3) == (rest, taken)
    assert carve(videos, 0.2, seed=4)[1] != taken


def test_carving_single_clips_is_stratified():
    sizes = {(label, str(n)): 1 for label, count in enumerate((10, 20, 5)) for n in range(count)}
    rest, taken = carve(clips(sizes), 0.2, seed=0)
    assert Counter(v.label for v in taken) == {0: 2, 1: 4, 2: 1}
    assert len(rest) == 28


def test_carving_leaves_each_class_a_clip():
    sizes = {(0, "a"): 1, (1, "a"): 4, (1, "b"): 4, (1, "c"): 4}
    rest, taken = carve(clips(sizes, name="{group}"), 0.5, seed=0)
    assert {v.label for v in rest} == {0, 1}
    assert {v.group for v in taken} <= {"b", "c"}
    assert carve(clips({(0, "a"): 9}), 0.2, seed=0)[1] == []


def test_smallest_group_leaves_each_class_a_clip():
    sizes = {(0, "a"): 1, (0, "b"): 4, (1, "b"): 4, (1, "c"): 3, (1, "d"): 3}
    assert smallest_group(clips(sizes, name="{group}")) == "a"
    del sizes[0, "b"]
    assert smallest_group(clips(sizes, name="{group}")) == "c"
    assert smallest_group(clips({(0, "a"): 2, (1, "b"): 3}, name="{group}")) is None


def test_a_list_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "trainlist01.txt"
    path.write_bytes("Läufer/a.avi 1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"trainlist01.txt: not UTF-8 text \(byte 2\); save"):
        read_lines(path)


def test_class_numbers_and_names_are_parted_by_any_blank(tmp_path):
    path = tmp_path / "classInd.txt"
    path.write_text("1\tArchery\n2   Tai Chi\n")
    assert read_class_index(path) == ["Archery", "Tai Chi"]


def test_a_folder_with_a_video_name_is_no_video(tmp_path):
    (tmp_path / "Jump" / "x.avi").mkdir(parents=True)
    with pytest.raises(ValueError, match="Jump: the class folder holds no video file"):
        class_folders(tmp_path)
    (tmp_path / "Jump" / "y.avi").touch()
    assert class_folders(tmp_path) == {"Jump": [tmp_path / "Jump" / "y.avi"]}


def test_limit():
    videos = clips({(0, "a"): 3, (1, "b"): 1, (0, "c"): 3})
    assert limit(videos, 2) == [videos[0], videos[1], videos[3]]
    assert limit(videos, None) == videos
