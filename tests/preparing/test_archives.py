import shutil
import stat
import zipfile

import pytest

from tests.preparing.conftest import zipped
from tests.preparing.rar import LINK_MODE, NORMAL, archive, member, stored, write_rar
from videowino.preparing.archives import open_archive

FILES = {"UCF-101/Jump/a.avi": b"123" * 500_000, "UCF-101/Jump/b (1)!+.avi": b"", "c.txt": b"4"}


def unpack(path, folder, names=None):
    counted = []
    with open_archive(path) as opened:
        chosen = opened.sizes if names is None else names
        opened.unpack({name: folder / name for name in chosen}, counted.append)
    return sum(counted)


@pytest.mark.parametrize("make", [stored, zipped])
def test_unpacks_what_was_packed(tmp_path, make):
    path = tmp_path / "x.rar"  # the content says what it is
    path.write_bytes(make(FILES))
    with open_archive(path) as opened:
        assert opened.sizes == {name: len(data) for name, data in FILES.items()}
    assert unpack(path, tmp_path / "out") == 1_500_001
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == FILES
    assert unpack(path, tmp_path / "one", ["c.txt"]) == 1
    assert [p.name for p in (tmp_path / "one").rglob("*")] == ["c.txt"]


def test_unar_reads_what_the_tests_write(tmp_path):
    """The writer is held to a reader that is neither ours nor rarfile's, where there is one."""
    unar = shutil.which("unar")
    if unar is None:
        pytest.skip("no unar")
    import subprocess

    path = write_rar(tmp_path / "x.rar", FILES)
    subprocess.run([unar, "-q", "-D", "-o", tmp_path / "out", path], check=True)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == FILES


def test_a_member_takes_its_place_only_when_whole(tmp_path):
    path = tmp_path / "x.rar"
    path.write_bytes(
        archive(member("a", b"one"), member("b", b"two" * 9, crc=1), member("c", b"3"))
    )
    place = tmp_path / "out" / "b"
    place.parent.mkdir()
    place.write_bytes(b"former")
    with pytest.raises(ValueError, match=r"x.rar: truncated or damaged \(.*CRC.*; download it ag"):
        unpack(path, tmp_path / "out")
    assert place.read_bytes() == b"former"
    assert (tmp_path / "out" / "a").read_bytes() == b"one"
    assert not (tmp_path / "out" / "c").exists()


@pytest.mark.parametrize("make", [stored, zipped])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_truncated(tmp_path, make, kept):
    path = tmp_path / "x.rar"
    data = make({f"{n}.avi": bytes([n]) * 3000 for n in range(9)})
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ValueError, match="x.rar: truncated"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_header_that_is_damaged(tmp_path):
    data = bytearray(stored({"a.avi": b"1" * 100, "b.avi": b"2" * 100}))
    data[data.index(b"b.avi")] ^= 1
    path = tmp_path / "x.rar"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="x.rar: truncated or damaged"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["../x.avi", "a/../../x.avi", "/tmp/x.avi", "..\\x.avi", "C:/x.avi", "C:\\x.avi"]
)
@pytest.mark.parametrize("make", [stored, zipped])
def test_a_name_that_leaves_the_folder(tmp_path, make, name):
    path = tmp_path / "deep" / "x.rar"
    path.parent.mkdir()
    path.write_bytes(make({"good.avi": b"1", name: b"2"}))
    with pytest.raises(ValueError, match="would be written outside the folder; nothing was unp"):
        unpack(path, tmp_path / "deep" / "out")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["x.rar"]


def test_links(tmp_path):
    rar, zip_ = tmp_path / "x.rar", tmp_path / "x.zip"
    rar.write_bytes(archive(member("up", b"../..", mode=LINK_MODE), member("up/a", b"1")))
    with zipfile.ZipFile(zip_, "w") as opened:
        info = zipfile.ZipInfo("up")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, "../..")
    for path in (rar, zip_):
        with pytest.raises(ValueError, match="the member 'up' is a link, not a file; nothing was"):
            unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_passwords(tmp_path):
    rar, zip_ = tmp_path / "x.rar", tmp_path / "x.zip"
    rar.write_bytes(archive(member("a", b"1"), member("b", b"2", password=True)))
    data = bytearray(zipped({"a": b"1"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    data[6] |= 1
    zip_.write_bytes(data)
    for path in (rar, zip_):
        with pytest.raises(ValueError, match=f"{path.name}: protected by a password; the official"):
            unpack(path, tmp_path / "out")


def test_what_is_no_archive(tmp_path):
    path = tmp_path / "x.rar"
    path.write_text("<!DOCTYPE html>")
    with pytest.raises(ValueError, match="x.rar: no .rar and no .zip, .*a web page saved under"):
        unpack(path, tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="x.rar: empty; download it again"):
        unpack(path, tmp_path)
    with pytest.raises(FileNotFoundError, match="y.rar: no such archive"):
        unpack(tmp_path / "y.rar", tmp_path)


def test_no_program_to_unpack_compressed_members(tmp_path, monkeypatch):
    import rarfile

    for tool in ("UNRAR", "UNAR", "BSDTAR", "SEVENZIP", "SEVENZIP2"):
        monkeypatch.setattr(rarfile, f"{tool}_TOOL", "no-such-program")
    monkeypatch.setattr(rarfile, "CURRENT_SETUP", None)
    path = tmp_path / "x.rar"
    path.write_bytes(archive(member("a", b"1"), member("b", b"2", method=NORMAL)))
    with pytest.raises(ValueError, match="x.rar: its files are compressed, and no .*install unrar"):
        unpack(path, tmp_path / "out")
    assert unpack(path, tmp_path / "out", ["a"]) == 1  # stored members need none


def test_without_rarfile(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rarfile", None)
    path = write_rar(tmp_path / "x.rar", FILES)
    with pytest.raises(ValueError, match="x.rar: unpacking .rar needs rarfile: pip install rarf"):
        unpack(path, tmp_path / "out")


@pytest.fixture
def cat(tmp_path, monkeypatch):
    """A stand-in for unrar, which prints what lies beside the archive: all members, one by one."""
    import rarfile

    script = tmp_path / "fake-unrar"
    script.write_text('#!/bin/sh\nfor last; do :; done\ncat "$last.plain" 2>/dev/null\nexit 0\n')
    script.chmod(0o755)
    monkeypatch.setattr(rarfile, "UNRAR_TOOL", str(script))
    monkeypatch.setattr(rarfile, "CURRENT_SETUP", None)


def solid(path, files, plain=None):
    members = [
        member(name, data, method=NORMAL, solid=number > 0)
        for number, (name, data) in enumerate(files.items())
    ]
    path.write_bytes(archive(*members, solid=True))
    path.with_name(path.name + ".plain").write_bytes(
        b"".join(files.values()) if plain is None else plain
    )
    return path


def test_a_solid_archive_is_read_in_one_pass(tmp_path, cat):
    files = {f"{n}.avi": bytes([n]) * (1000 * n) for n in range(6)}
    path = solid(tmp_path / "x.rar", files)
    assert unpack(path, tmp_path / "out", ["1.avi", "4.avi"]) == 5000
    for name in ("1.avi", "4.avi"):
        assert (tmp_path / "out" / name).read_bytes() == files[name]
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "message"), [(b"", "bytes are missing"), (b"\7", "CRC differs")]
)
def test_a_solid_archive_that_does_not_unpack(tmp_path, cat, change, message):
    files = {"0.avi": b"0" * 1000, "1.avi": b"1" * 1000}
    plain = files["0.avi"] + (change * 1000 or b"1" * 10)
    path = solid(tmp_path / "x.rar", files, plain)
    with pytest.raises(ValueError, match=f"x.rar: damaged: 1.avi: .*{message}.*install unrar"):
        unpack(path, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").glob("[!.]*")] == ["0.avi"]
