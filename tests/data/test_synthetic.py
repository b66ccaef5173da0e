import json
import runpy
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from videowino.data import SyntheticMotion, SyntheticSpec, VideoFolder
from videowino.data.decoding import open_video
from videowino.data.synthetic import render_set
from videowino.data.synthetic_clip import MOTIONS, UNIT, render_clip

SCRIPT = Path(__file__).parents[2] / "datasets" / "synthetic.py"
OPPOSITES = [  # of the motions in alphabetical order
    "MoveUp",
    "MoveRight",
    "MoveLeft",
    "MoveDown",
    "TurnRight",
    "TurnLeft",
    "ZoomOut",
    "ZoomIn",
]
FEW = SyntheticSpec(groups=4, clips_per_group=1, frames=6, size=32)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "few"
    render_set(root, FEW)
    return root


def frames_of(path):
    video = open_video(path)
    return video.get_frames(range(video.num_frames))


def test_layout_and_groups(few):
    assert len(MOTIONS) == 8
    data = VideoFolder(root=str(few), split=2)
    assert data.class_names == list(MOTIONS)
    assert data.missing == "warn" and len(data.videos("train")) == 3 * 8
    assert {v.group for v in data.videos("test")} == {"g02"}
    assert {v.group for v in data.videos("train")} == {"g01", "g03", "g04"}
    assert frames_of(data.videos("test")[0].path).shape == (6, 3, 32, 32)
    assert not list(few.parent.glob(".few-*"))


def test_no_group_is_on_both_sides_of_a_split():
    for spec in (SyntheticSpec(), SyntheticSpec(groups=3), SyntheticSpec(groups=10)):
        parts = spec.splits
        assert len(parts) == 3
        for one, other in combinations(parts, 2):
            assert not one & other
        assert all(part < set(range(1, spec.groups + 1)) for part in parts)
    assert SyntheticSpec().splits[1] == {8, 9, 10, 11, 12, 13, 14}


def test_rendering_is_repeatable(few, tmp_path):
    render_set(tmp_path / "again", FEW)
    files = [p for p in sorted(few.rglob("*")) if p.is_file()]
    assert len(files) == 4 * 8 + 1 + 6 + 1
    for path in files:
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(few)).read_bytes()
    other = render_clip(SyntheticSpec(frames=6, size=32, seed=1), "ZoomIn", 1, 1)
    assert not np.array_equal(render_clip(FEW, "ZoomIn", 1, 1), other)
    assert not np.array_equal(render_clip(FEW, "ZoomIn", 1, 2), render_clip(FEW, "ZoomIn", 1, 1))


def moved(frames, motion, steps):
    """Frames T C H W as `steps` later, by the motion's mean amount about the middle."""
    axis, direction = MOTIONS[motion]
    amount = 1.5 * steps * direction * UNIT[axis]
    theta = torch.eye(2, 3)
    if axis < 2:
        theta[axis, 2] = -amount * 2 / 64
    elif axis == 2:
        c, s = np.cos(amount), np.sin(amount)
        theta[:, :2] = torch.tensor([[c, s], [-s, c]])
    else:
        theta *= 2**-amount
    grid = F.affine_grid(theta.expand(len(frames), 2, 3), list(frames.shape), align_corners=False)
    return F.grid_sample(frames, grid, align_corners=False)


def unexplained(clip, motion, steps=5):
    """How much of three later frames, in the middle, the motion does not account for."""
    later = clip[[steps, steps + 6, steps + 12]]
    difference = moved(clip[[0, 6, 12]], motion, steps) - later
    return difference[..., 16:48, 16:48].square().mean()


def rendered(spec, motion, group):
    return torch.from_numpy(render_clip(spec, motion, group, 1)).permute(0, 3, 1, 2).float()


def test_clips_move_as_their_class_says():
    opposite = dict(zip(sorted(MOTIONS), OPPOSITES))
    for motion in MOTIONS:
        clips = [rendered(SyntheticSpec(), motion, group) for group in range(1, 6)]
        right = [unexplained(c, motion) < unexplained(c, opposite[motion]) for c in clips]
        assert sum(right) >= 4, motion


def features(frame):
    """What one frame shows: colours, their spread, and structure at four scales. C H W."""
    frame = frame / 255
    values = [frame.mean((1, 2)), frame.std((1, 2))]
    for scale in (1, 2, 4, 8):
        small = F.avg_pool2d(frame, scale)
        values += [small.diff(dim=1).abs().mean((1, 2)), small.diff(dim=2).abs().mean((1, 2))]
    return torch.cat(values)


def test_single_frames_are_alike_in_all_classes():
    """A linear classifier on the statistics of a clip's first and last frame stays at chance.

    The same on what each motion leaves unexplained does not: it could tell the classes apart.
    """
    spec = SyntheticSpec()
    stills, motions, labels, groups = [], [], [], []
    for label, motion in enumerate(MOTIONS):
        for group in range(1, 28):
            clip = rendered(spec, motion, group)
            stills.append(torch.cat([features(clip[0]), features(clip[-1])]))
            rest = torch.stack([unexplained(clip, guess) for guess in MOTIONS])
            motions.append(rest / rest.mean())
            labels.append(label)
            groups.append(group)
    labels, test = torch.tensor(labels), torch.tensor(groups) <= 9

    def accuracy(inputs):
        x = torch.stack(inputs)
        x = (x - x[~test].mean(0)) / (x[~test].std(0) + 1e-6)
        x = torch.cat([x, torch.ones(len(x), 1)], 1).double()
        wanted = F.one_hot(labels[~test], 8).double()
        ridge = x[~test].T @ x[~test] + 10 * torch.eye(x.shape[1])
        weights = torch.linalg.solve(ridge, x[~test].T @ wanted)
        return float(((x[test] @ weights).argmax(1) == labels[test]).double().mean())

    # Chance is 12.5 %, of 72 clips: deviation 3.9 %.
    assert accuracy(stills) < 0.25
    assert accuracy(motions) > 0.5


def small_network(frames):
    def layer(c_in, c_out, stride):
        return [
            torch.nn.Conv3d(c_in, c_out, 3, stride, 1, bias=False),
            torch.nn.BatchNorm3d(c_out),
            torch.nn.ReLU(),
        ]

    pool = 2 if frames > 1 else 1
    return torch.nn.Sequential(
        *layer(3, 16, (1, 2, 2)),
        *layer(16, 32, (pool, 2, 2)),
        *layer(32, 64, (pool, 2, 2)),
        torch.nn.AdaptiveAvgPool3d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 8),
    )


def accuracy_of_a_network(root, frames, epochs):
    data = SyntheticMotion(
        root=str(root), frames=frames, size=(48, 48), batch_size=16, num_workers=0, mean=None
    )
    torch.manual_seed(0)
    model = small_network(frames)
    loader = data.train_dataloader()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, epochs * len(loader))
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            F.cross_entropy(model(batch["clip"]), batch["label"]).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    model.eval()
    with torch.inference_mode():
        right = [model(b["clip"][:, 0]).argmax(1) == b["label"] for b in data.test_dataloader()]
    return float(torch.cat(right).double().mean())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_network_needs_more_than_one_frame(tmp_path):
    root = tmp_path / "set"
    render_set(root)
    # Chance is 12.5 %, of 112 clips: deviation 3.1 %.
    assert accuracy_of_a_network(root, frames=1, epochs=20) < 0.23
    assert accuracy_of_a_network(root, frames=8, epochs=20) > 0.7


def test_a_broken_off_rendering_leaves_nothing(tmp_path):
    def stops(clips):
        yield clips[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_set(tmp_path / "set", FEW, progress=stops)
    assert list(tmp_path.iterdir()) == []


def test_of_two_renderings_the_first_stays(tmp_path):
    def meanwhile(clips):
        render_set(tmp_path / "set", FEW)
        (tmp_path / "set" / "first").touch()
        return clips

    render_set(tmp_path / "set", FEW, progress=meanwhile)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]
    assert (tmp_path / "set" / "first").is_file()


def test_data_module_renders_once(tmp_path):
    few = {"groups": 3, "clips_per_group": 1, "video_frames": 6, "video_size": 32}
    data = SyntheticMotion(
        root=str(tmp_path / "set"), **few, frames=4, size=(24, 24), num_workers=0, batch_size=4
    )
    assert data.num_classes == 8  # known before there is anything
    with pytest.raises(FileNotFoundError, match="set': no such folder"):
        data.setup("fit")
    data.prepare_data()
    data.setup("fit")
    assert [len(b["label"]) for b in data.train_dataloader()] == [4] * 4
    record = tmp_path / "set" / "synthetic.json"
    before = record.stat().st_mtime_ns
    data.prepare_data()
    assert record.stat().st_mtime_ns == before
    again = SyntheticMotion(**data.hparams)
    again.prepare_data()
    assert again.spec == SyntheticSpec(3, 1, 6, 32, 0)
    assert json.loads(record.read_text())["groups"] == 3


def test_a_mirrored_clip_counts_as_what_it_shows(few):
    spec = dict(groups=4, clips_per_group=1, video_frames=6, video_size=32)
    options = dict(frames=4, size=(24, 24), num_workers=0, batch_size=4)
    data = SyntheticMotion(root=str(few), **spec, **options, flip=True)
    names, videos = data.class_names, data.videos("train")
    loader, seen = data.train_dataloader(), set()
    for number in range(8):
        loader.sampler.set_epoch(number)
        for batch in loader:
            shown = zip(batch["video"], batch["label"])
            seen |= {(names[videos[video].label], names[label]) for video, label in shown}
    partners = {"MoveLeft": "MoveRight", "TurnLeft": "TurnRight"}
    partners |= {right: left for left, right in partners.items()}
    assert seen == {(n, n) for n in names} | set(partners.items())


def test_misuse(few, tmp_path):
    with pytest.raises(ValueError, match="few': the set in it was rendered with groups=4, clips_"):
        SyntheticMotion(root=str(few)).prepare_data()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(ValueError, match="full': not empty; remove it or name another folder"):
        SyntheticMotion(root=str(tmp_path / "full")).prepare_data()
    for wrong in ("groups=2", "clips_per_group=0", "frames=1", "size=33", "size=14"):
        name, value = wrong.split("=")
        with pytest.raises(ValueError, match=wrong):
            SyntheticSpec(**{name: int(value)})


def test_script(tmp_path, monkeypatch, capsys):
    script = runpy.run_path(str(SCRIPT))
    root = ["--root", str(tmp_path / "set"), "--groups", "3"]
    options = [*root, "--clips_per_group", "1", "--frames", "4"]
    script["main"](options)
    assert "set: rendered" in capsys.readouterr().out
    assert len(list((tmp_path / "set" / "videos").rglob("*.avi"))) == 24
    script["main"](options)
    assert "set: already rendered" in capsys.readouterr().out

    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    for wrong, message in (
        (root, "the set in it was rendered with groups=3, clips_per_group=1, frames=4, size=64"),
        ([*options, "--size", "15"], "size=15: an even number of pixels"),
        ([*options, "--group", "5"], "unknown option 'group'; did you mean 'groups'?"),
    ):
        with pytest.raises(SystemExit) as ended:
            script["run"](lambda wrong=wrong: script["main"](wrong))
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and message in said and said.count("\n") == 1
