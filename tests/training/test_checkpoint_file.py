import errno
import os

import pytest
import torch

from videowino.training import checkpoint_file
from videowino.training.checkpoint_file import CheckpointFiles, before, fault


def save(path, value):
    CheckpointFiles().save_checkpoint({"value": torch.full((1000,), value)}, path)


def read(path):
    return float(torch.load(path, weights_only=True)["value"][0])


def test_the_one_before_stays(tmp_path):
    path = tmp_path / "new" / "last.ckpt"
    for value in (1.0, 2.0, 3.0):
        save(path, value)
    assert (read(path), read(before(path))) == (3.0, 2.0)
    assert sorted(file.name for file in path.parent.iterdir()) == ["last-before.ckpt", "last.ckpt"]
    assert fault(path) is None and fault(before(path)) is None


def test_without_hard_links_too(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for value in (1.0, 2.0):
        save(tmp_path / "last.ckpt", value)
    assert (read(tmp_path / "last.ckpt"), read(before(tmp_path / "last.ckpt"))) == (2.0, 1.0)


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_what_was_there_stays_when_the_disk_is_full(fails, tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save(path, 1.0)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    where = (checkpoint_file.torch, "save") if fails == "write" else (os, fails)
    with monkeypatch.context() as patch:
        patch.setattr(*where, full)
        with pytest.raises(ValueError, match=r"last\.ckpt: cannot be written \(No space left"):
            save(path, 2.0)
    assert read(path) == 1.0
    assert not list(tmp_path.glob(".*new"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_is_really_full(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save(path, 1.0)
    (tmp_path / ".last.ckpt.new").symlink_to("/dev/full")
    with pytest.raises(ValueError, match="cannot be written"):
        save(path, 2.0)
    assert read(path) == 1.0


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"last\.ckpt: cannot be written \((Not a dir|File ex)"):
        save(tmp_path / "file" / "last.ckpt", 1.0)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_found(share, tmp_path):
    path = tmp_path / "last.ckpt"
    save(path, 1.0)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert fault(path) is not None


def test_a_single_bit_is_found(tmp_path):
    path = tmp_path / "last.ckpt"
    save(path, 1.0)
    content = bytearray(path.read_bytes())
    place = content.index(torch.full((4,), 1.0).numpy().tobytes()) + 100
    content[place] ^= 1
    path.write_bytes(bytes(content))
    assert torch.load(path, weights_only=True)["value"].numel() == 1000  # which loading is not
    assert "was altered" in fault(path)


def test_nobody_is_told_of_a_checkpoint_before_the_first(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ValueError, match=r"on device\); the run has none yet: make"):
        save(tmp_path / "last.ckpt", 1.0)
    assert not os.listdir(tmp_path)
