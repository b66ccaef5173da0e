import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from videowino.preparing.download import Unreachable, download
from videowino.preparing.obtain import obtain
from videowino.preparing.official import UCF101, Source

DATA = bytes(range(256)) * 1000


class Server:
    """Serves DATA; breaks off after `sends` bytes of each answer, in turn."""

    def __init__(self):
        self.asked: list[str | None] = []
        self.sends: list[int] = []
        self.etag, self.data, self.ranges = '"one"', DATA, True

    def start(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                wanted = self.headers.get("Range")
                outer.asked.append(wanted)
                if self.path != "/file.rar":
                    self.send_error(404)
                    return
                start = 0
                if wanted and outer.ranges and self.headers.get("If-Range") == outer.etag:
                    start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                    if start >= len(outer.data):
                        self.send_error(416)
                        return
                body = outer.data[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                if outer.etag:
                    self.send_header("ETag", outer.etag)
                self.end_headers()
                count = outer.sends.pop(0) if outer.sends else len(body)
                self.wfile.write(body[:count])

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.rar"
        return self


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server().start()
    yield server
    server.http.shutdown()
    server.http.server_close()


def fetch(server, place, **options):
    seen: list[tuple[int, int | None]] = []
    download(server.url, place, None, lambda *at: seen.append(at), pause=0, **options)
    return seen


def test_downloads(tmp_path, server):
    seen = fetch(server, tmp_path / "in" / "file.rar")
    assert (tmp_path / "in" / "file.rar").read_bytes() == DATA
    assert seen[0] == (0, len(DATA)) and seen[-1] == (len(DATA), len(DATA))
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["file.rar"]


def test_goes_on_where_the_connection_broke(tmp_path, server):
    server.sends = [100_000, 50_000]
    fetch(server, tmp_path / "file.rar")
    assert (tmp_path / "file.rar").read_bytes() == DATA
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_goes_on_in_a_later_call(tmp_path, server):
    server.sends = [10_000] * 5
    with pytest.raises(Unreachable, match="run it again to go on"):
        fetch(server, tmp_path / "file.rar")
    assert not (tmp_path / "file.rar").exists()
    assert (tmp_path / "file.rar.part").stat().st_size == 50_000
    fetch(server, tmp_path / "file.rar")
    assert (tmp_path / "file.rar").read_bytes() == DATA
    assert server.asked[-1] == "bytes=50000-"


def test_a_file_that_has_changed_is_begun_again(tmp_path, server):
    server.sends = [10_000] * 5
    with pytest.raises(Unreachable):
        fetch(server, tmp_path / "file.rar")
    server.etag, server.data = '"two"', DATA[::-1]
    fetch(server, tmp_path / "file.rar")
    assert (tmp_path / "file.rar").read_bytes() == DATA[::-1]


@pytest.mark.parametrize("change", [{"ranges": False}, {"etag": ""}, {"etag": 'W/"weak"'}])
def test_a_server_that_cannot_go_on(tmp_path, server, change):
    vars(server).update(change)
    server.sends = [10_000]
    fetch(server, tmp_path / "file.rar")
    assert (tmp_path / "file.rar").read_bytes() == DATA


def test_a_part_longer_than_the_file_is_begun_again(tmp_path, server):
    (tmp_path / "file.rar.part").write_bytes(DATA + b"more")
    (tmp_path / "file.rar.part.etag").write_text(server.etag)
    fetch(server, tmp_path / "file.rar")
    assert (tmp_path / "file.rar").read_bytes() == DATA


def test_no_such_file_and_no_server(tmp_path, server):
    server.url = server.url.replace("file", "other")
    with pytest.raises(Unreachable, match="HTTP 404 Not Found"):
        fetch(server, tmp_path / "file.rar")
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(Unreachable, match="refused"):
        fetch(server, tmp_path / "file.rar")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_downloaded_to_the_first_folder(tmp_path, server, progress):
    source = Source("file.rar", server.url)
    place = obtain(source, UCF101, [tmp_path / "a", tmp_path / "b"], progress)
    assert place == tmp_path / "a" / "file.rar" and place.read_bytes() == DATA
    assert obtain(source, UCF101, [tmp_path / "b", tmp_path / "a"], progress) == place
    assert len(server.asked) == 1


def test_where_to_get_what_cannot_be_downloaded(tmp_path, server, progress):
    source = Source("file.rar", server.url.replace("file", "gone"))
    with pytest.raises(
        FileNotFoundError,
        match=r"file.rar is not in .* \(127.0.0.1 cannot be reached: HTTP 404 Not Found\); get it "
        f"from {re.escape(UCF101.page)} and put it into {re.escape(str(tmp_path))}",
    ):
        obtain(source, UCF101, [tmp_path], progress)
