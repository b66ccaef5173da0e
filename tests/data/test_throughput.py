"""The benchmark of loading: that the rivals load the same clips, and that its figures add up."""

import json

import pytest
import torch
from torch.testing import assert_close

from benchmarks import data as benchmark
from benchmarks import data_sources
from benchmarks.data_rivals import STRAIGHTFORWARD, Straightforward, bare_decoders
from benchmarks.data_sources import Listed, find_sources, make_clip
from tests.data.conftest import write_counting
from videowino.data.decoding import open_video

SIZE = (48, 64)  # decord has no frames of less
WHOLE = {"frames": 12, "size": SIZE, "resize": None, "flip": False}


@pytest.fixture
def counting(tmp_path):
    return write_counting(tmp_path / "counting.avi", size=SIZE)


@pytest.mark.parametrize("way", STRAIGHTFORWARD.values(), ids=STRAIGHTFORWARD)
def test_the_straightforward_way_gives_the_same_clip(counting, way):
    """Without draws: the whole video, uncropped."""
    clip, label = Straightforward([counting], *way, **WHOLE)[0]
    ours = Listed(paths=[str(counting)], num_workers=0, batch_size=1, **WHOLE)
    (batch,) = ours.train_dataloader()
    assert label == 0 and batch["label"].tolist() == [0]
    assert_close(batch["clip"][0], clip, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("way", STRAIGHTFORWARD.values(), ids=STRAIGHTFORWARD)
def test_the_straightforward_way_draws_once_a_clip(tmp_path, way):
    path = write_counting(tmp_path / "still.avi", frames=1, size=SIZE)
    options = {"frames": 3, "size": (16, 16), "scale": (0.4, 0.6), "color_jitter": 0.5}
    for _ in range(5):
        clip, _ = Straightforward([path], *way, **options)[0]
        assert clip.shape == (3, 3, 16, 16)
        assert (clip == clip[:, :1]).all()


@pytest.mark.parametrize("start", [0, 5])
def test_bare_decoders_give_the_frames_asked_for(tmp_path, start):
    path = tmp_path / "made.mp4"
    make_clip(path, SIZE, seed=0, frames=12)
    expected = open_video(path).get_frames(range(start, start + 4)).permute(0, 2, 3, 1)
    found, _ = bare_decoders()
    assert {"decord alone", "pyav alone"} <= set(found)
    for name, decode in found.items():
        frames = torch.from_numpy(decode(path, start, 4))
        assert frames.shape == (4, 48, 64, 3), name
        assert (frames.int() - expected.int()).abs().max() <= 2, name


def test_every_path_is_read_as_often_as_it_comes(counting, tmp_path):
    other = write_counting(tmp_path / "other.avi")
    paths = benchmark._about(data_sources._source("two", [counting, other]), 7)
    assert len(paths) == 8
    loader = benchmark.our_loader(paths, 3, 0, {"frames": 4, "size": (16, 16), "resize": None})
    labels = [label for batch in loader for label in batch["label"].tolist()]
    assert sorted(labels) == [0] * 4 + [1] * 4


def test_made_clips_move(tmp_path):
    make_clip(tmp_path / "made.mp4", (96, 128), seed=0, frames=6)
    first, last = open_video(tmp_path / "made.mp4").get_frames([0, 5]).float()
    # The camera pans by 5 pixels a frame.
    moved = (first[..., 25:] - last[..., :-25]).abs().mean()
    assert 3 * moved < (first - last).abs().mean()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A root with one set, and small clips for large ones."""
    videos = tmp_path / "root" / "ucf101" / "videos" / "A"
    for number in range(2):
        write_counting(videos / f"v_{number}.avi", frames=18, size=SIZE)
    monkeypatch.setattr(data_sources, "_MADE", {"made 64x48": SIZE})
    monkeypatch.setattr(benchmark, "_BATCH", 1)
    monkeypatch.setattr(benchmark, "_STARTS", 1)
    return tmp_path


@pytest.mark.slow
def test_the_command(small, capsys):
    (small / "data.md").write_text("a\n<!-- throughput --><!-- /throughput -->\nb\n")
    options = {
        "root": small / "root",
        "made": small / "made",
        "json": small / "out" / "data.json",
        "png": small / "out" / "data.png",
        "docs": small / "data.md",
        "workers": "[0]",
        "networks": "[]",
        "recipes": "[ucf101]",
        "budget": 0,
    }
    benchmark.main([f"--{name}={value}" for name, value in options.items()])
    shown = capsys.readouterr().out
    found = json.loads((small / "out" / "data.json").read_text())
    assert [row["source"] for row in found["load"]] == ["ucf101", "made 64x48"]
    for row in found["load"]:
        assert {"videowino", "videowino, pyav", *STRAIGHTFORWARD} <= set(row["clips"])
        best = max(row["clips"][name] for name in STRAIGHTFORWARD)
        assert row["ratio"] == pytest.approx(row["clips"]["videowino"] / best)
        for name, clips in row["clips"].items():
            low, high = row["spread"][name]
            assert low <= clips <= high
    assert {"videowino, auto", "decord alone", "pyav alone"} <= set(found["decode"][0]["ms"])
    assert "hmdb51" in found["missing"] and "left out: hmdb51: no clips in" in shown
    assert (small / "out" / "data.png").read_bytes().startswith(b"\x89PNG")
    text = (small / "data.md").read_text()
    assert f"**{found['load'][0]['ratio']:.2f}x**" in text
    assert text.startswith("a\n") and text.endswith("\nb\n")


def test_waiting_is_a_share_of_the_step(small, monkeypatch):
    network = ({"name": "r3d_10", "width": 0.125, "stem": "small"}, 2)
    options = {"frames": 4, "size": (16, 16), "resize": None, "flip": False}
    monkeypatch.setattr(benchmark, "NETWORKS", {"tiny": (*network, options, True)})
    source = find_sources(small / "root", small / "made")[0][0]
    rows = benchmark.waiting("tiny", source, 0, 2, "cpu", lambda _: None)
    assert [row.loader for row in rows] == ["videowino", "videowino, cached", "PIL"]
    for row in rows:
        assert row.wait_ms > 0 and row.step_ms > 0
        assert row.share == pytest.approx(row.wait_ms / (row.wait_ms + row.step_ms))
    assert rows[1].wait_ms < rows[0].wait_ms  # what is in memory is not decoded


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--recipes=[ucf]", "recipes=ucf: choose from ucf101, folder"),
        ("--networks=[c3d]", "networks=c3d: choose from r3d_18"),
        ("--sources=[ucf]", "sources=ucf: choose from ucf101, made 64x48"),
        ("--workers=[-1]", r"workers=\[-1\]: 0 or more"),
        ("--steps=0", "steps=0: at least 1"),
    ],
)
def test_misuse(small, option, message):
    with pytest.raises(ValueError, match=message):
        benchmark.main([f"--root={small / 'root'}", f"--made={small / 'made'}", option])


def test_figures_of_sources_not_measured_now_stay():
    def figures(source, ms, network):
        load = {"source": source, "recipe": "r", "workers": 2, "clips": {}, "ratio": ms}
        return {
            "environment": ms,
            "sources": {source: {"files": ms}},
            "decode": [{"source": source, "ms": ms}],
            "load": [load],
            "wait": [{"network": network, "ms": ms}],
        }

    earlier = figures("a", 1, "x")
    for part in ("decode", "load"):
        earlier[part] += figures("b", 1, "x")[part]
    merged = benchmark.with_earlier(figures("b", 2, "y"), earlier)
    assert [(row["source"], row["ms"]) for row in merged["decode"]] == [("a", 1), ("b", 2)]
    assert [(row["source"], row["ratio"]) for row in merged["load"]] == [("a", 1), ("b", 2)]
    assert [row["network"] for row in merged["wait"]] == ["x", "y"]
    assert merged["sources"].keys() == {"a", "b"} and merged["environment"] == 2
    assert benchmark.with_earlier(earlier, {}) is earlier
