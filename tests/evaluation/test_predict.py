"""What happens in a video, on videos whose frames tell their number."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.data.conftest import STEP, write_counting
from videowino.data.decoding import open_video
from videowino.deployment import Preprocessing
from videowino.evaluation.predict import Predictor, VideoPrediction, Window, find_videos
from videowino.evaluation.tables import make_console
from videowino.evaluation.timeline import clock, prediction_table

HOW = Preprocessing(frames=4, size=(16, 16), resize=None, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Frames(nn.Module):
    """Says which frames it is given: logits are their numbers."""

    def __init__(self):
        super().__init__()
        self.seen, self.batches = [], []

    def forward(self, x):
        numbers = (x.mean((1, 3, 4)) * 255 / STEP).round()
        self.seen += numbers.int().tolist()
        self.batches.append(len(x))
        return numbers


@pytest.fixture
def video(tmp_path):
    """20 frames, 25 a second."""
    return write_counting(tmp_path / "counting.avi", frames=20)


def seen(path, how=HOW, **options):
    model = Frames()
    prediction = Predictor(model, how, **options).predict(path)
    return model.seen, prediction


def test_a_window_is_a_clip(video):
    frames, prediction = seen(video)
    assert frames == [[4 * i + j for j in range(4)] for i in range(5)]
    fps = open_video(video).fps
    assert [(w.start, w.end) for w in prediction.windows] == [
        (pytest.approx(4 * i / fps), pytest.approx((4 * i + 4) / fps)) for i in range(5)
    ]
    assert prediction.seconds == pytest.approx(20 / fps) and prediction.note == ""
    expected = torch.tensor(frames).float().softmax(-1).mean(0)
    torch.testing.assert_close(prediction.probabilities, expected)


@pytest.mark.parametrize(
    ("how", "window", "expected"),
    [
        # Leftover frames make windows longer: 3 windows of 6 or 7, clips in their middle.
        ({"stride": 2, "frames": 3}, None, [[0, 2, 4], [5, 7, 9], [10, 12, 14], [15, 17, 19]]),
        ({"stride": 2}, None, [[1, 3, 5, 7], [11, 13, 15, 17]]),
        ({"sampling": "uniform"}, None, [[2, 7, 12, 17]]),
        ({"sampling": "uniform"}, 0.4, [[1, 3, 6, 8], [11, 13, 16, 18]]),
        ({"sampling": "dense"}, None, [[2, 7, 12, 17]]),
        ({}, 0.08, [[2 * i, 2 * i + 1, 2 * i + 1, 2 * i + 1] for i in range(10)]),
        ({}, 99.0, [[8, 9, 10, 11]]),
    ],
)
def test_which_frames(video, how, window, expected):
    assert open_video(video).fps == 25
    frames, _ = seen(video, replace(HOW, **how), window=window)
    assert frames == expected


def test_a_video_shorter_than_a_clip_says_so(tmp_path):
    path = write_counting(tmp_path / "short.avi", frames=2)
    frames, prediction = seen(path)
    assert frames == [[0, 1, 1, 1]]
    assert prediction.note == "2 frames, a clip takes 4: the last one stands still"


def test_batches_are_all_of_one_size(video):
    model, told = Frames(), []
    Predictor(model, HOW, batch=3).predict(video, lambda done, of: told.append((done, of)))
    assert model.batches == [3, 3] and told[-1] == (5, 5)
    one = Predictor(Frames(), HOW).predict(video)
    three = Predictor(Frames(), HOW, batch=3).predict(video)
    for a, b in zip(one.windows, three.windows, strict=True):
        assert torch.equal(a.probabilities, b.probabilities)


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_long_videos_in_parts(video, decoder, monkeypatch):
    from videowino.evaluation import predict

    monkeypatch.setattr(predict, "_TOGETHER", 1)
    monkeypatch.setattr(predict, "open_video", lambda path: open_video(path, decoder))
    frames, _ = seen(video)
    assert frames == [[4 * i + j for j in range(4)] for i in range(5)]


def test_what_cannot_be_predicted(video, tmp_path):
    (tmp_path / "empty.avi").touch()
    with pytest.raises(ValueError, match="the file is empty"):
        seen(tmp_path / "empty.avi")
    with pytest.raises(
        ValueError, match="counting.avi: frames are 24x32 .* smaller than size=64x64"
    ):
        seen(video, replace(HOW, size=(64, 64)))
    with pytest.raises(ValueError, match="window=0: seconds, above 0"):
        Predictor(Frames(), HOW, window=0)

    class Broken(nn.Module):
        def forward(self, x):
            return x.mean((1, 3, 4)) * float("nan")

    with pytest.raises(ValueError, match="counting.avi: the network's outputs are not finite"):
        Predictor(Broken(), HOW).predict(video)


def test_files_and_folders(tmp_path):
    for name in ("b.avi", "a.MP4", "notes.txt", "sub/c d!.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    odd = tmp_path / "notes.txt"
    videos, others = find_videos([str(tmp_path)])
    assert [path.name for path in videos] == ["a.MP4", "b.avi", "c d!.mkv"] and others == [odd]
    # A file that is named is taken at its word, and each once.
    videos, _ = find_videos([str(odd), str(tmp_path / "b.avi"), str(tmp_path / "b.avi")])
    assert [path.name for path in videos] == ["notes.txt", "b.avi"]
    with pytest.raises(FileNotFoundError, match="nowhere: no such video or folder"):
        find_videos([str(tmp_path / "nowhere")])
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="no video in there"):
        find_videos([str(tmp_path / "none")])


def prediction(*labels):
    windows = [
        Window(
            float(i),
            float(i + 1),
            torch.tensor([0.9, 0.1]) if label == 0 else torch.tensor([0.2, 0.8]),
        )
        for i, label in enumerate(labels)
    ]
    return VideoPrediction(Path("clip.avi"), float(len(labels)), tuple(windows))


def test_windows_of_one_class_are_one_stretch():
    found = prediction(0, 0, 1, 0).stretches()
    assert [(start, end, label) for start, end, label, _ in found] == [
        (0.0, 2.0, 0),
        (2.0, 3.0, 1),
        (3.0, 4.0, 0),
    ]
    assert [mean for *_, mean in found] == pytest.approx([0.9, 0.8, 0.9])


def test_the_table_and_the_timeline():
    console = make_console()
    with console.capture() as capture:
        console.print(prediction_table(prediction(0, 0, 1), ["[bold]jump", "run"]))
    shown = capture.get()
    assert "clip.avi  3.0 s, 3 windows" in shown and "66.7 %" in shown
    assert "[bold]jump" in shown  # a name is no markup
    assert "0:02.0   0:03.0   run" in shown and "█" * 72 in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (59.96, "1:00.0"), (61.25, "1:01.2"), (3661.5, "1:01:01.5")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text
