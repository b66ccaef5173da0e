import base64
import io

import numpy as np
import torch
from PIL import Image

from videowino.evaluation.comparison import VideoPredictions
from videowino.evaluation.page.samples import choose, sample_of


def predictions(labels, *said):
    names = [str(index) for index in range(len(said))]
    videos = [f"{index}.avi" for index in range(len(labels))]
    classes = [str(index) for index in range(max(labels) + 1)]
    return VideoPredictions(classes, videos, labels, dict(zip(names, said)), {})


def test_disputed_clips_come_first_and_then_the_classes_in_turn():
    labels = [0, 0, 0, 1, 1, 1, 2, 2]
    found = predictions(labels, [1, 0, 0, 1, 1, 1, 0, 2], [1, 0, 0, 1, 1, 0, 2, 2])
    # 5 and 6 are disputed, 0 is wrong by both; 0, 1, 3, 7 are the first of their classes.
    assert choose(found, 4) == [5, 6, 0, 3]
    assert choose(found, 6) == [5, 6, 0, 1, 3, 7]
    assert sorted(choose(found, 99)) == list(range(8))
    assert choose(found, 0) == []


def test_unreadable_videos_are_not_shown():
    assert choose(predictions([0, 1, 1], [-1, 0, 1]), 3) == [1, 2]


def test_a_strip_holds_the_frames_side_by_side():
    clip = torch.zeros(3, 4, 24, 32)
    clip[0, 1], clip[1, 2], clip[:, 3] = 1.0, 1.0, 1.0
    sample = sample_of(7, clip)
    assert (sample.video, sample.frames, sample.size) == (7, 4, (24, 32))
    head, content = sample.image.split(",")
    assert head == "data:image/webp;base64"
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))
    assert strip.shape == (24, 4 * 32, 3)
    middles = strip[12, 16::32].astype(int)
    wanted = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [255, 255, 255]])
    assert np.abs(middles - wanted).max() < 12


def test_long_and_large_clips_are_shown_smaller():
    sample = sample_of(0, torch.rand(3, 64, 224, 112))
    assert (sample.frames, sample.size) == (16, (112, 56))
    assert sample_of(0, torch.full((1, 2, 8, 8), 3.0)).frames == 2  # one channel, one value
