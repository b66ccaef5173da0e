import pytest
import torch
from torch.testing import assert_close

from videowino.data.transforms import (
    KINETICS_MEAN,
    KINETICS_STD,
    eval_transform,
    resize_transform,
    train_transform,
)

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def coordinates(frames=3, height=10, width=14):
    """Frames whose pixels say where they are: red the row, green the column, blue the time."""
    clip = torch.zeros(frames, 3, height, width, dtype=torch.uint8)
    clip[:, 0] += torch.arange(height, dtype=torch.uint8)[:, None]
    clip[:, 1] += torch.arange(width, dtype=torch.uint8)
    clip[:, 2] += torch.arange(frames, dtype=torch.uint8)[:, None, None]
    return clip


def levels(clip):
    return (clip * 255).round().int()


def test_training_crops_all_frames_at_one_place():
    transform = train_transform(size=(6, 8), flip=False, **PLAIN)
    corners = set()
    for _ in range(200):
        clip = transform(coordinates())
        assert clip.shape == (3, 3, 6, 8)
        assert clip.dtype == torch.float32
        rows, columns, times = levels(clip)
        top, left = int(rows[0, 0, 0]), int(columns[0, 0, 0])
        assert torch.equal(rows, (top + torch.arange(6))[:, None].expand(3, 6, 8).int())
        assert torch.equal(columns, (left + torch.arange(8)).expand(3, 6, 8).int())
        assert torch.equal(times, torch.arange(3)[:, None, None].expand(3, 6, 8).int())
        corners.add((top, left))
    assert corners == {(top, left) for top in range(5) for left in range(7)}


def test_flip_takes_whole_clips_half_of_the_time():
    transform = train_transform(size=(10, 14), flip=True, **PLAIN)
    flipped = 0
    for _ in range(100):
        columns = levels(transform(coordinates()))[1]
        assert (columns == columns[:1]).all()
        flipped += int(columns[0, 0, 0]) == 13
    assert 35 <= flipped <= 65


def test_colours_and_erasing_are_the_same_in_all_frames():
    still = coordinates(frames=1).expand(4, -1, -1, -1)
    options = {"size": (10, 14), "flip": False, **PLAIN}
    for extra in ({"color_jitter": 0.5}, {"random_erasing": 1.0}):
        clip = train_transform(**options, **extra)(still)
        assert (clip == clip[:, :1]).all()
        assert not torch.equal(clip, train_transform(**options)(still))


def test_scale_crops_shares_of_the_frame():
    transform = train_transform(size=(8, 8), scale=(0.25, 0.25), stretch=1.0, flip=False, **PLAIN)
    clip = levels(transform(coordinates(height=32, width=32)))
    spread = clip[0, 0, -1, 0] - clip[0, 0, 0, 0]
    assert 13 <= spread <= 15  # 8 samples of 16 rows


def test_normalisation():
    frames = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    clip = train_transform(size=(4, 4), flip=False)(frames)
    mean, std = (torch.tensor(v)[:, None, None, None] for v in (KINETICS_MEAN, KINETICS_STD))
    assert_close(clip, (frames.transpose(0, 1) / 255 - mean) / std)
    own = eval_transform(size=(4, 4), mean=None)(torch.stack([frames, frames // 4]))
    assert_close(own.mean((2, 3, 4, 5)), torch.zeros(1, 2), atol=1e-5, rtol=0)
    assert_close(own[:, 0], own[:, 1], atol=0.05, rtol=0)  # contrast is gone


def test_background_subtraction_leaves_what_moves():
    moving = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    room = torch.randint(0, 100, (1, 3, 4, 4), dtype=torch.uint8)
    options = {"size": (4, 4), "mean": None, "subtract_background": True}
    transform = eval_transform(**options)
    one, other = transform(torch.stack([moving // 2, moving // 2 + room]))[0]
    assert_close(one, other, atol=1e-4, rtol=0)
    assert_close(one.mean(1), torch.zeros(3, 4, 4), atol=1e-5, rtol=0)
    assert abs(one.std(correction=0).item() - 1) < 0.1
    assert train_transform(flip=False, **options)(room.expand(5, -1, -1, -1)).abs().max() < 1e-4


def test_background_subtraction_has_no_use_for_a_mean():
    with pytest.raises(ValueError, match="data.mean=.* set data.mean to null"):
        train_transform(size=(4, 4), subtract_background=True)


@pytest.mark.parametrize(("resize", "shape"), [((8, 12), (8, 12)), (5, (5, 7)), (None, (10, 14))])
def test_resize_comes_before_the_crop(resize, shape):
    transform = eval_transform(size=shape, resize=resize, **PLAIN)
    assert transform(coordinates()).shape == (1, 3, 3, *shape)


def test_resize_keeps_values():
    flat = torch.full((2, 3, 20, 30), 77, dtype=torch.uint8)
    clip = eval_transform(size=(8, 8), resize=(8, 12), **PLAIN)(flat)
    assert (levels(clip) == 77).all()


def corners(views):
    return [(int(v[0, 0, 0, 0]), int(v[1, 0, 0, 0])) for v in levels(views)]


def test_evaluation_crops():
    wide, high = coordinates(), coordinates(height=14, width=10)
    assert corners(eval_transform(size=(6, 6), **PLAIN)(wide)) == [(2, 4)]
    three = eval_transform(size=(6, 6), crops=3, **PLAIN)
    assert corners(three(wide)) == [(2, 0), (2, 4), (2, 8)]
    assert corners(three(high)) == [(0, 2), (4, 2), (8, 2)]
    assert three(torch.stack([wide, wide])).shape == (3, 2, 3, 3, 6, 6)


def test_mirrored_views_follow_the_plain_ones():
    views = eval_transform(size=(6, 6), crops=3, mirror=True, **PLAIN)(coordinates())
    assert len(views) == 6
    assert torch.equal(views[3:], views[:3].flip(-1))


@pytest.mark.parametrize("make", [train_transform, eval_transform])
def test_frames_smaller_than_the_crop(make):
    transform = make(size=(12, 8))
    message = "frames are 10x14 after data.resize, smaller than data.size=12x8: enlarge data.resize"
    with pytest.raises(ValueError, match=message):
        transform(coordinates())


def test_unknown_number_of_crops():
    with pytest.raises(ValueError, match=r"data.crops=2: 1 \(centre\), 3 \(along .* or 10 \(corn"):
        eval_transform(size=(4, 4), crops=2)


def test_ten_crops_are_mirrored_already():
    with pytest.raises(ValueError, match="data.mirror=True: data.crops=10 has each crop mirrored"):
        eval_transform(size=(4, 4), crops=10, mirror=True)


def test_ten_crops_by_frames_whose_pixels_tell_their_place():
    for frames, far in ((coordinates(), (4, 8)), (coordinates(height=14, width=10), (8, 4))):
        views = eval_transform(size=(6, 6), crops=10, **PLAIN)(frames)
        assert views.shape == (10, 3, 3, 6, 6)
        down, right = far
        places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
        assert corners(views[:5]) == places
        assert torch.equal(views[5:], views[:5].flip(-1))
        # A mirrored crop starts with the last column of its place.
        assert corners(views[5:]) == [(top, left + 5) for top, left in places]
    two_clips = eval_transform(size=(6, 6), crops=10, **PLAIN)(torch.stack([frames, frames]))
    assert two_clips.shape == (10, 2, 3, 3, 6, 6)


def test_resizing_alone_keeps_whole_frames_of_grey_levels():
    clips = torch.stack([coordinates(), coordinates().flip(0)])
    assert torch.equal(resize_transform((10, 14))(clips), clips[None])
    resized = resize_transform((5, 6), (5, 7))(clips)
    assert (resized.shape, resized.dtype) == ((1, 2, 3, 3, 5, 7), torch.uint8)
    with pytest.raises(ValueError, match="smaller than data.size=6x6"):
        resize_transform((6, 6), (5, 7))(clips)
    cropped = eval_transform(size=(5, 7), resize=(5, 7), **PLAIN)(clips)
    assert torch.equal(levels(cropped).transpose(2, 3), resized.int())
