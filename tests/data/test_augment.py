"""Colours and RandAugment: torchvision's values, and one draw for all frames of a clip."""

import pytest
import torch
from torch.testing import assert_close

from videowino.compat import torchvision
from videowino.data import VideoFolder
from videowino.data.augment import ColorJitter, RandAugment
from videowino.data.transforms import train_transform

v2 = torchvision.transforms.v2
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
EVERY = {
    "crop": {},
    "scale": {"scale": (0.3, 0.9)},
    "flip": {"flip": True},
    "color_jitter": {"color_jitter": 0.5},
    "random_erasing": {"random_erasing": 0.7},
    "rand_augment": {"rand_augment": (2, 9)},
    "colours of rand_augment": {"rand_augment": (3, 20), "rand_augment_geometry": False},
    "all": {
        "scale": (0.3, 0.9),
        "flip": True,
        "rand_augment": (2, 9),
        "color_jitter": 0.5,
        "random_erasing": 0.7,
    },
}


def noise(frames=4, height=20, width=24, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8, generator=draw)


@pytest.mark.parametrize("options", EVERY.values(), ids=EVERY)
def test_one_draw_a_clip(options):
    transform = train_transform(size=(16, 16), **{"flip": False, **options}, **PLAIN)
    still = noise(frames=1).expand(5, -1, -1, -1)
    clips = []
    for seed in range(30):
        torch.manual_seed(seed)
        clips.append(transform(still))
        assert (clips[-1] == clips[-1][:, :1]).all()
    assert len({tuple(clip.flatten().tolist()) for clip in clips}) > 1


@pytest.mark.parametrize("options", EVERY.values(), ids=EVERY)
def test_a_clip_follows_from_its_seed(options):
    transform = train_transform(size=(16, 16), **{"flip": False, **options}, **PLAIN)
    for seed in range(10):
        clips = []
        for layout in (torch.contiguous_format, torch.channels_last):  # as decoders give it
            frames = noise().contiguous(memory_format=layout)
            before = frames.clone()
            torch.manual_seed(seed)
            clips.append(transform(frames))
            assert torch.equal(frames, before)
        assert_close(*clips, atol=1.01 / 255, rtol=0)  # resizing rounds by layout
        assert clips[0].dtype == torch.float32 and clips[0].is_contiguous()


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.5])
def test_colours_are_torchvisions(strength):
    reference, own = v2.ColorJitter(strength, strength, strength), ColorJitter(strength)
    for seed in range(20):
        frames = noise(seed=seed)
        torch.manual_seed(seed)
        expected = reference(frames)
        state = torch.get_rng_state()
        torch.manual_seed(seed)
        found = own(frames)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(found, found.round())
        # Sums in another order fall on the other side of a whole level now and then.
        assert (found - expected.float()).abs().max() <= 1
        assert (found != expected.float()).float().mean() < 1e-3


def test_rand_augment_is_torchvisions_on_the_whole_clip():
    reference, own = v2.RandAugment(2, 12), RandAugment(2, 12)
    for seed in range(30):
        frames = noise(seed=seed).contiguous(memory_format=torch.channels_last)
        torch.manual_seed(seed)
        expected = reference(torchvision.tv_tensors.Video(frames))
        torch.manual_seed(seed)
        found = own(frames)
        assert type(found) is torch.Tensor and found.dtype == torch.uint8
        assert torch.equal(found, expected)


def test_every_operation_of_rand_augment_takes_all_frames_alike():
    """Each frame comes out as it would alone: nothing is drawn in between."""
    augment = RandAugment(1, 15)
    frames = noise()
    space = augment._AUGMENTATION_SPACE
    assert len(space) == 14
    for name in space:
        augment._AUGMENTATION_SPACE = {name: space[name]}
        torch.manual_seed(1)
        clip = augment(frames)
        for frame, changed in zip(frames, clip):
            torch.manual_seed(1)
            assert torch.equal(augment(frame[None])[0], changed), name


def test_rand_augment_without_geometry_moves_nothing():
    quarter = noise(height=10, width=12)
    half = torch.cat([quarter, quarter.flip(-1)], -1)
    even = torch.cat([half, half.flip(-2)], -2)  # what moves by less than half a turn is so no more

    def stays_even(augment):
        changed = augment(even)
        return torch.equal(changed, changed.flip(-1)) and torch.equal(changed, changed.flip(-2))

    torch.manual_seed(0)
    colours, every = RandAugment(3, 15, geometry=False), RandAugment(3, 15)
    assert len(colours._AUGMENTATION_SPACE) == 9 and len(every._AUGMENTATION_SPACE) == 14
    assert all(stays_even(colours) for _ in range(60))
    assert not all(stays_even(every) for _ in range(10))


def test_magnitude_counts():
    frames = noise()
    spread = []
    for magnitude in (3, 25):
        augment = RandAugment(1, magnitude)
        augment._AUGMENTATION_SPACE = {"Brightness": augment._AUGMENTATION_SPACE["Brightness"]}
        torch.manual_seed(0)
        spread.append((augment(frames).float() - frames.float()).abs().mean())
    assert 3 * spread[0] < spread[1]


@pytest.mark.parametrize("given", [(0, 9), (2, 31), (2, -1)])
def test_rand_augment_out_of_range(given):
    with pytest.raises(ValueError, match=r"data.rand_augment=\[.*\]: operations a clip"):
        VideoFolder(root="clips", rand_augment=given)


def test_an_epoch_with_rand_augment_depends_on_its_seeds_alone(listed):
    options = {"frames": 4, "size": (16, 16), "resize": None, "batch_size": 3}
    options |= {"rand_augment": (2, 15), "color_jitter": 0.3}
    epochs = []
    for workers in (0, 2):
        data = VideoFolder(root=str(listed), **options, num_workers=workers)
        epochs.append(torch.cat([batch["clip"] for batch in data.train_dataloader()]))
    assert torch.equal(*epochs)
