"""Shards of the counting folders, and a web server that behaves as it is told."""

import re
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from tests.data.conftest import write_folder, write_lists
from videowino.data import VideoFolder
from videowino.preparing.shards import write_shards


def make_shards(folder, groups=6, test_groups=(1,), shard_mb=0.03, **options):
    """`folder/clips`, and `folder/shards` made of it."""
    root = write_lists(write_folder(folder / "clips", groups=groups), test_groups=test_groups)
    data = VideoFolder(root=str(root), frames=1)
    write_shards(data, folder / "shards", shard_mb=shard_mb, **options)
    return folder / "shards"


class Server(ThreadingHTTPServer):
    """Serves a folder, with byte ranges unless told otherwise, and notes what it is asked for.

    Attributes:
        ranges: whether it sends parts of files.
        cut: bytes of a body after which it hangs up, and how often it does so.
        busy: how many requests it answers with 503.
        asked: (file, first byte asked for or None) of each request.
        sent: bytes of bodies.
    """

    ranges = True
    cut = (0, 0)
    busy = 0
    daemon_threads = True

    def __init__(self, folder):
        self.asked, self.sent = [], 0
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def files(self):
        return [file for file, _ in self.asked]


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        from pathlib import Path

        server, path = self.server, Path(self.translate_path(self.path))
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        server.asked.append((path.name, int(span[1]) if span else None))
        if server.busy:
            server.busy -= 1
            self.answer(503, b"")
            return
        if not path.is_file():
            self.answer(404, b"")
            return
        content = path.read_bytes()
        if span is None or not server.ranges:
            self.answer(200, content)
            return
        first, last = int(span[1]), min(int(span[2]), len(content) - 1)
        if first >= len(content):
            self.answer(416, b"")
            return
        where = f"bytes {first}-{last}/{len(content)}"
        self.answer(206, content[first : last + 1], ("Content-Range", where))

    def answer(self, status, body, *headers):
        self.send_response(status)
        for header in (("Content-Length", str(len(body))), *headers):
            self.send_header(*header)
        self.end_headers()
        after, times = self.server.cut
        if times and len(body) > after and not self.path.endswith(".json"):
            self.server.cut = (after, times - 1)
            body = body[:after]
            self.close_connection = True
        self.server.sent += len(body)
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client has what it wants


@contextmanager
def serving(folder):
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
