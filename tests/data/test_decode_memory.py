"""The benchmark of decoding's memory, on a few clips."""

import json

import pytest

from benchmarks import decode_memory
from benchmarks.decode_memory import Course
from tests.data.conftest import write_counting


def test_growth_is_from_the_warm_up_to_the_end():
    course = Course("pyav", list(range(20)), [100.0] * 2 + [200.0] * 9 + [230.0] * 9, [3] * 20)
    assert course.growth == 30.0


def test_runs_each_decoder_and_writes_what_it_saw(tmp_path, capsys):
    for number in range(3):
        write_counting(tmp_path / "videos" / f"{number}.avi", frames=20)
    decode_memory.main(
        [
            *("--roots", f"[{tmp_path}]", "--clips", "12", "--decoders", "[pyav]"),
            *("--json", str(tmp_path / "m.json"), "--png", str(tmp_path / "m.png")),
        ]
    )
    (course,) = json.loads((tmp_path / "m.json").read_text())
    assert course["decoder"] == "pyav" and course["clips"] == [1, 12] and course["refused"] == 0
    assert all(50 < megabytes < 5000 for megabytes in course["megabytes"])
    assert course["files"][0] == course["files"][-1]
    assert (tmp_path / "m.png").read_bytes()[1:4] == b"PNG"
    assert "12" in capsys.readouterr().out


def test_no_videos(tmp_path):
    with pytest.raises(ValueError, match="no video in them"):
        decode_memory.main(["--roots", f"[{tmp_path}]"])
