import shutil

import av
import numpy as np
import pytest

from videowino.data.decoding import open_video
from videowino.data.decoding.matroska import missing_share


@pytest.fixture(scope="module", params=[".mkv", ".webm"])
def clip(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / f"clip{request.param}"
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4" if path.suffix == ".mkv" else "libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            frame = noise.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_whole_files_open(clip):
    assert missing_share(clip) == 0
    assert open_video(clip).num_frames == 20


def test_a_truncated_file_is_no_shorter_video(clip, tmp_path):
    cut = tmp_path / clip.name
    data = clip.read_bytes()
    cut.write_bytes(data[: len(data) // 3])
    assert missing_share(cut) == pytest.approx(2 / 3, abs=0.02)
    with pytest.raises(ValueError, match=f"{cut.name}: truncated: 6.% of it are missing at the en"):
        open_video(cut)


def test_a_size_left_open_tells_nothing(clip, tmp_path):
    data = clip.read_bytes()
    place = data.index(b"\x18\x53\x80\x67") + 4
    open_end = tmp_path / clip.name
    open_end.write_bytes(data[:place] + b"\x01" + 7 * b"\xff" + data[place + 8 : len(data) // 2])
    assert missing_share(open_end) == 0
    assert 0 < open_video(open_end).num_frames < 20


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00"])
def test_other_files_are_left_to_the_decoder(tmp_path, content):
    path = tmp_path / "clip.mkv"
    path.write_bytes(content)
    assert missing_share(path) == 0


def test_cut_after_the_header(clip, tmp_path):
    cut = shutil.copy(clip, tmp_path)
    with open(cut, "r+b") as file:
        file.truncate(60)
    with pytest.raises(ValueError):
        open_video(cut)
