import struct

import pytest

from tests.preparing.verify.conftest import write_noise
from videowino.preparing.verify.ending import is_video_container, missing_share

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def box(name, length, content=b""):
    return struct.pack(">I4s", length, name) + content


@pytest.mark.parametrize(
    ("content", "share"),
    [
        (b"RIFF" + struct.pack("<I", 192) + b"AVI " + bytes(88), 0.5),  # 200 declared, 100 there
        (b"RIFF" + struct.pack("<I", 92) + b"AVI " + bytes(88), 0.0),
        (b"RIFF" + struct.pack("<I", 0) + b"AVI " + bytes(88), 0.0),  # not known when written
        (b"RIFF" + b"\xff" * 4 + b"AVI " + bytes(88), 0.0),
        (b"RIFF" + struct.pack("<I", 42) + b"AVI " + bytes(88), 0.0),  # more RIFFs behind it
        (box(b"ftyp", 20, bytes(12)) + box(b"mdat", 180, bytes(72)), 0.5),
        (box(b"ftyp", 20, bytes(12)) + box(b"mdat", 80, bytes(72)), 0.0),
        (box(b"ftyp", 20, bytes(12)) + box(b"mdat", 0, bytes(72)), 0.0),  # to the end
        (box(b"ftyp", 20, bytes(12)) + box(b"mdat", 1, struct.pack(">Q", 180) + bytes(64)), 0.5),
        (box(b"ftyp", 20, bytes(12)) + box(b"\x00odd", 999, bytes(72)), 0.0),
        (ASF + ASF_FILE + bytes(24) + struct.pack("<Q", 160) + bytes(16), 0.5),
        (ASF + bytes(64), 0.0),
        (b"no container that tells", 0.0),
        (b"RIFF", 0.0),
    ],
)
def test_what_containers_declare(tmp_path, content, share):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert missing_share(path) == pytest.approx(share)


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mov", ".mkv", ".webm", ".wmv", ".3gp"])
def test_whole_and_halved_files(tmp_path, suffix):
    codec = {".webm": "libvpx-vp9", ".wmv": "wmv2"}.get(suffix, "mpeg4")
    path = write_noise(tmp_path / f"whole{suffix}", codec=codec, frames=40)
    assert missing_share(path) == 0
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 0.4 < missing_share(path) <= 0.51


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv", ".wmv", ".flv", ".mpg", ".ts"])
def test_what_starts_like_a_video(tmp_path, suffix):
    codec = {".wmv": "wmv2", ".mpg": "mpeg2video", ".flv": "libx264", ".ts": "mpeg2video"}
    path = write_noise(tmp_path / f"whole{suffix}", codec=codec.get(suffix, "mpeg4"))
    assert is_video_container(path.read_bytes()[:4096])


@pytest.mark.parametrize(
    "start", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WAVE", b"PK\3\4"]
)
def test_what_does_not(start):
    assert not is_video_container(start)
