"""Shards on a web server: what it is asked for, and what happens when it fails."""

import shutil
from types import SimpleNamespace

import pytest

from tests.data.shards import make_shards, serving
from videowino.data import VideoShards
from videowino.data.streaming import http
from videowino.data.streaming.index import ShardError

SMALL = {"frames": 3, "size": (16, 24), "resize": None, "batch_size": 4, "num_workers": 0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("made"))


@pytest.fixture
def server(made, monkeypatch):
    monkeypatch.setattr(http, "PAUSES", (0.01,) * 5)
    http._tell_of_whole_files.cache_clear()
    with serving(made.parent) as running:
        yield running


def module(server, **options):
    return VideoShards(root=f"{server.url}/shards", **{**SMALL, **options})


def videos_of(loader):
    return [int(video) for batch in loader for video in batch["video"]]


def the_same_as_on_disk(data, made):
    options = {key: data.hparams[key] for key in ("batch_size", "shuffle_buffer")}
    local = VideoShards(root=str(made), **{**SMALL, **options})
    got, want = (list(d.train_dataloader()) for d in (data, local))
    assert sorted(videos_of(got)) == list(range(10))
    assert [b["video"].tolist() for b in got] == [b["video"].tolist() for b in want]
    return all((a["clip"] == b["clip"]).all() for a, b in zip(got, want, strict=True))


def test_one_request_a_shard_and_no_byte_too_many(server, made):
    data = module(server, shuffle_buffer=1)
    assert the_same_as_on_disk(data, made)
    assert sorted(server.files()) == ["index.json"] + [f"train-00000{i}.tar" for i in range(4)]
    index = made / "index.json"
    wanted = sum(clip.size for clip in data.index.clips["train"])
    assert server.sent == index.stat().st_size + wanted
    assert videos_of(data.test_dataloader()) == [0, 1]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:.*sends no parts of files")
def test_any_workers_and_servers_without_byte_ranges(ranges, workers, server, made):
    server.ranges = ranges
    assert the_same_as_on_disk(module(server, num_workers=workers, batch_size=2), made)
    if workers == 0:
        assert len(server.files()) == 5  # each shard is streamed once


def test_whole_files_are_told_of_once(server, made):
    server.ranges = False
    data = module(server, batch_size=2)
    dataset = data.train_dataloader().dataset
    with pytest.warns(UserWarning, match="sends no parts of files, so that every worker") as told:
        for index in (9, 8, 1, 2):
            _ = dataset[index]
    assert sum("sends no parts of files" in str(w.message) for w in told) == 1


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.filterwarnings("ignore:.*sends no parts of files")
def test_a_connection_that_breaks_goes_on_where_it_was(ranges, server, made):
    server.ranges, server.cut = ranges, (10_000, 4)
    assert the_same_as_on_disk(module(server), made)
    assert server.cut[1] == 0  # it did hang up, as often as that
    if ranges:
        # The rest is asked for, not the whole again.
        assert sum(first not in (0, None) for _, first in server.asked) >= 3


def test_a_busy_server_is_asked_again(server, made):
    data = module(server)
    server.busy = 2
    assert data.class_names == ["Jump", "Run"]  # the index
    server.busy = 5
    assert the_same_as_on_disk(data, made)


def test_a_server_that_stays_away(server, made):
    data = module(server)
    data.setup("fit")
    server.busy = 1000
    message = r"shards/train-00000\d.tar: cannot be read: HTTP 503 .* \(tried 6 times\)"
    with pytest.raises(ShardError, match=message):
        list(data.train_dataloader())
    server.busy = 0
    server.cut = (0, 1000)
    with pytest.raises(ShardError, match=r"tar: cannot be read: .*\(tried 6 times\)"):
        list(data.train_dataloader())


def test_a_server_that_is_not_there(server):
    root = f"{server.url}/shards"
    server.shutdown()
    server.server_close()
    with pytest.raises(ShardError, match=r"index.json: cannot be read: .*refused") as caught:
        VideoShards(root=root, **SMALL).setup("fit")
    assert "0x" not in str(caught.value) and "\n" not in str(caught.value)


def test_shards_that_are_not_there_or_others(server, made):
    with pytest.raises(FileNotFoundError, match="nothing/index.json: HTTP 404, no such file"):
        VideoShards(root=f"{server.url}/nothing", **SMALL).setup("fit")
    copy = shutil.copytree(made, made.parent / "copy")
    shard = copy / "train-000001.tar"
    content = shard.read_bytes()
    data = VideoShards(root=f"{server.url}/copy/", **SMALL)
    shard.unlink()
    with pytest.raises(ShardError, match="copy/train-000001.tar: HTTP 404 .*was the file uploade"):
        list(data.train_dataloader())
    shard.write_bytes(content[:-512])
    with pytest.raises(ShardError, match=r"copy/train-000001.tar: has \d+ bytes, the index says"):
        list(data.train_dataloader())
    shard.write_bytes(content[:5000] + b"?" + content[5001:])
    with pytest.raises(ShardError, match="copy/train-000001.tar: 0.*: altered since it was wri"):
        list(data.train_dataloader())
    shutil.rmtree(copy)


# Copies on disk.


def test_shards_are_kept_on_disk(server, made, tmp_path):
    cached = {"cache_dir": str(tmp_path / "cache"), "batch_size": 2}
    assert the_same_as_on_disk(module(server, **cached, num_workers=2), made)
    assert sorted(set(server.files())) == ["index.json"] + [f"train-00000{i}.tar" for i in range(4)]
    assert len(server.files()) == 5  # by two processes, each shard once
    server.asked.clear()
    assert the_same_as_on_disk(module(server, **cached), made)
    assert server.files() == ["index.json"]
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_copy_that_was_begun_is_gone_on_with(server, made, tmp_path):
    data = module(server, cache_dir=str(tmp_path))
    shard = data.index.shards["train"][2]
    content = (made / shard.name).read_bytes()
    part = data.place.folder / f"{shard.sha256[:16]}-{shard.name}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(content[:7000])
    file = data.place.open(shard)
    assert file.read(0, shard.bytes) == content
    assert server.asked[-1] == (shard.name, 7000)
    file.close()


def test_a_copy_with_another_sum_is_refused(server, made, tmp_path):
    data = module(server, cache_dir=str(tmp_path))
    shard = data.index.shards["train"][2]
    part = data.place.folder / f"{shard.sha256[:16]}-{shard.name}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 7000)
    with pytest.raises(ShardError, match="train-000002.tar: altered, its SHA-256 is not the index"):
        data.place.open(shard)
    assert data.place.open(shard).read(0, 10)  # fetched anew
    part.write_bytes(b"x" * 10**6)


def test_a_full_disk(server, tmp_path, monkeypatch):
    data = module(server, cache_dir=str(tmp_path))
    data.setup("fit")
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ShardError, match="data.cache_dir: .* has 0.00 GB free, train-0000"):
        list(data.train_dataloader())


def test_addresses_with_keys(server):
    data = VideoShards(root=f"{server.url}/shards/?key=secret%20", **SMALL)
    assert data.place.url_of("index.json") == f"{server.url}/shards/index.json?key=secret%20"
    assert sorted(videos_of(data.train_dataloader())) == list(range(10))
    with pytest.raises(FileNotFoundError, match="HTTP 404") as caught:
        VideoShards(root=f"{server.url}/nothing/?key=secret%20").setup("fit")
    assert "secret" not in str(caught.value)
