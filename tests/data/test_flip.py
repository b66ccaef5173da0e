"""The label of a mirrored clip is that of what is then to be seen."""

import pytest
import torch

from tests.data.conftest import write_folder, write_lists
from videowino.data import VideoFolder
from videowino.data.flip import mirrored_labels
from videowino.data.synthetic import write_video
from videowino.data.transforms import train_transform

PLAIN = {"size": (8, 8), "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
CLASSES = ["Jump", "MoveLeft", "MoveRight", "Wave"]
LEFT_RIGHT = {"MoveLeft": "MoveRight"}


def half_lit(label):
    """A clip whose left half is lit."""
    frames = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    frames[..., :4] = 50 * (label + 1)
    return frames


def draws(label, count=40, **options):
    """(is the light on the right, the label that came of it), for many seeds."""
    transform = train_transform(**PLAIN, **options)
    transform.name_classes(CLASSES)
    for seed in range(count):
        torch.manual_seed(seed)
        clip, shown = transform.labelled(half_lit(label), label)
        assert (clip == clip[:, :1]).all()
        yield bool(clip[0, 0, 0, 7] > 0), shown


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        (0, {(False, 0), (True, 0)}),
        (1, {(False, 1), (True, 2)}),
        (2, {(False, 2), (True, 1)}),
        (3, {(False, 3)}),
    ],
)
@pytest.mark.parametrize("pairs", [LEFT_RIGHT, {"MoveRight": "MoveLeft", **LEFT_RIGHT}])
def test_labels_follow_the_flip_both_ways(label, shown, pairs):
    assert set(draws(label, flip_pairs=pairs, no_flip=["Wave"])) == shown


def test_half_of_the_clips_of_a_pair_are_mirrored():
    right = [right for right, _ in draws(1, count=200, flip_pairs=LEFT_RIGHT)]
    assert 80 <= sum(right) <= 120


def test_what_else_is_drawn_does_not_depend_on_the_class():
    transform = train_transform(**PLAIN, no_flip=["Wave"], random_erasing=1.0)
    transform.name_classes(CLASSES)
    for seed in range(10):
        states = []
        for label in (0, 3):
            torch.manual_seed(seed)
            transform.labelled(half_lit(label), label)
            states.append(torch.get_rng_state())
        assert torch.equal(*states)


def test_a_transform_that_needs_labels_refuses_to_do_without():
    transform = train_transform(**PLAIN, no_flip=["Wave"])
    transform.name_classes(CLASSES)
    with pytest.raises(ValueError, match="mirroring goes by the label"):
        transform(half_lit(0))


def test_a_data_module_gives_what_the_mirrored_clip_shows(tmp_path):
    root = write_folder(tmp_path, classes=("Jump", "MoveLeft", "MoveRight"))
    for path in sorted((root / "videos").rglob("*.avi")):
        label = sorted(("Jump", "MoveLeft", "MoveRight")).index(path.parent.name)
        frames = half_lit(label)[:1].repeat(6, 1, 4, 4).permute(0, 2, 3, 1)  # 32 x 32, four bars
        frames[:, :, 16:] = 0
        frames[:, :, :16] = 50 * (label + 1)
        write_video(path, frames.numpy())
    write_lists(root)
    data = VideoFolder(
        root=str(root),
        frames=4,
        size=(32, 32),
        resize=None,
        batch_size=3,
        num_workers=0,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        flip_pairs=LEFT_RIGHT,
    )
    loader, seen = data.train_dataloader(), set()
    videos = data.videos("train")
    for number in range(6):
        loader.sampler.set_epoch(number)
        for batch in loader:
            for clip, label, video in zip(batch["clip"], batch["label"], batch["video"]):
                right = bool(clip[0, :, :, 16:].mean() > clip[0, :, :, :16].mean())
                listed = videos[video].label
                assert label == ({1: 2, 2: 1}.get(listed, listed) if right else listed)
                seen.add((listed, right))
    assert len(seen) == 6
    assert all(v.label == data.class_names.index(v.path.parent.name) for v in videos)


def test_evaluation_keeps_labels(listed):
    data = VideoFolder(
        root=str(listed), frames=4, size=(16, 16), num_workers=0, flip_pairs={"Jump": "Run"}
    )
    (batch,) = data.test_dataloader()
    assert batch["label"].tolist() == [0, 1]


def test_mirrored_labels():
    assert mirrored_labels(CLASSES, {}) == [0, 1, 2, 3]
    assert mirrored_labels(CLASSES, LEFT_RIGHT, ["Jump"]) == [None, 2, 1, 3]
    assert mirrored_labels(CLASSES, {"Wave": "Wave"}) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"flip_pairs": {"Jmp": "Run"}},
            "data.flip_pairs: there is no class 'Jmp'; did you mean 'Jump'",
        ),
        ({"flip_pairs": {"Jump": "Walk"}}, "data.flip_pairs: there is no class 'Walk'$"),
        ({"no_flip": ["Runn"]}, "data.no_flip: there is no class 'Runn'; did you mean 'Run'"),
        (
            {"flip_pairs": {"Jump": "Run", "Run": "Walk"}},
            "data.flip_pairs: 'Run' is paired with 'Jump' and 'Walk'",
        ),
        (
            {"flip_pairs": {"Jump": "Run"}, "no_flip": ["Run"]},
            "data.no_flip: 'Run' is in data.flip_pairs too",
        ),
        (
            {"no_flip": ["Run"], "flip": False},
            r"data.no_flip=\['Run'\] has no use with data.flip=False",
        ),
        (
            {"flip_pairs": {"Jump": "Run"}, "mirror": True},
            "data.flip_pairs=.*data.mirror=True .*tests on mirrored .* set data.mirror to false",
        ),
    ],
)
def test_misuse(listed, options, message):
    with pytest.raises(ValueError, match=message):
        VideoFolder(root=str(listed), num_workers=0, **options).train_dataloader()
