"""Where shards are: a folder, or a web server with or without a folder that keeps copies."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from videowino.data.streaming.extra import need
from videowino.data.streaming.http import HttpFile, fetch
from videowino.data.streaming.index import INDEX, Shard, ShardError
from videowino.files import sha256_of

_STRETCH = 8 << 20  # bytes copied at a time


class ShardFile(Protocol):
    """An open shard."""

    def read(self, start: int, size: int, ahead: int = 0) -> bytes:
        """Bytes from `start` on; more, up to `ahead`, will be wanted soon."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Place(Protocol):
    """What holds an index and the shards that it lists."""

    name: str

    def index(self) -> str:
        """The text of `index.json`."""
        ...

    def open(self, shard: Shard) -> ShardFile:
        """Open a shard for reading."""
        ...

    def check(self, shard: Shard) -> None:
        """See that a shard is there, where that costs nothing."""
        ...


def place_of(root: str, cache_dir: str | None = None) -> Place:
    """The place that a root means.

    Args:
        root: a folder, or an http(s) or file URL of one.
        cache_dir: where shards from a web server are kept; None keeps none.

    Raises:
        ValueError: another kind of URL, or a cache for what is on this machine.
    """
    scheme, separator, rest = root.partition("://")
    if root.startswith("pipe:"):
        raise ValueError(
            f"data.root={root!r}: commands are not run, as a configuration or checkpoint from "
            "elsewhere could then run anything; give a folder, or an http(s) or file URL"
        )
    if separator and scheme.lower() in ("http", "https"):
        need("requests", f"data.root={root!r}")
        web = Web(root)
        return Cached(web, Path(cache_dir)) if cache_dir is not None else web
    if separator and scheme.lower() != "file":
        raise ValueError(
            f"data.root={root!r}: {scheme}:// cannot be read; give a folder (a mounted bucket is "
            "one), or an http(s) or file URL"
        )
    if separator and urlsplit(root).netloc not in ("", "localhost"):
        raise ValueError(f"data.root={root!r}: a file URL has three slashes, as file:///data/set")
    if cache_dir is not None:
        raise ValueError(
            f"data.cache_dir={cache_dir!r}: keeps what comes from a web server, and "
            f"data.root={root!r} is on this machine; leave it out"
        )
    return Folder(Path(unquote(urlsplit(root).path) if separator else root))


class Folder:
    """A folder of this machine.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)

    def index(self) -> str:
        """The text of `index.json`.

        Raises:
            FileNotFoundError: there is none.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(f"data.root={self.name!r}: no such folder")
        if not (self.path / INDEX).is_file():
            raise FileNotFoundError(
                f"data.root={self.name!r}: no {INDEX} in it, so no (whole) set of shards; "
                "datasets/shard.py writes one"
            )
        return (self.path / INDEX).read_text(encoding="utf-8")

    def open(self, shard: Shard) -> ShardFile:
        """Open a shard for reading."""
        self.check(shard)
        return LocalFile(self.path / shard.name)

    def check(self, shard: Shard) -> None:
        """See that a shard is there and has its size.

        Raises:
            ShardError: it is not, or has not.
        """
        path = self.path / shard.name
        if not path.is_file():
            raise ShardError(f"{path}: absent, the index lists it; copy it there")
        size = path.stat().st_size
        if size != shard.bytes:
            what = "cut off" if size < shard.bytes else "altered"
            raise ShardError(
                f"{path}: {what}, it has {size} bytes and the index says {shard.bytes}; copy it "
                "again, or write the shards again"
            )


class LocalFile:
    """A shard on disk.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")

    def read(self, start: int, size: int, ahead: int = 0) -> bytes:
        """Bytes from `start` on."""
        self._file.seek(start)
        return self._file.read(size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Web:
    """A folder on a web server.

    Args:
        url: of the folder; what follows a question mark is kept for every file.
    """

    def __init__(self, url: str) -> None:
        base, mark, query = url.partition("?")
        self.name = base.rstrip("/")  # messages are without the query, often a key
        self._query = mark + query
        self._session: tuple[int, Any] | None = None

    def url_of(self, file: str) -> str:
        """The address of a file in it."""
        return f"{self.name}/{quote(file)}{self._query}"

    def index(self) -> str:
        """The text of `index.json`.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the server refuses or does not answer.
        """
        return fetch(self.url_of(INDEX)).decode("utf-8", errors="replace")

    def open(self, shard: Shard) -> HttpFile:
        """A shard for reading; the first read asks for it."""
        return HttpFile(self.url_of(shard.name), shard.bytes, self.session())

    def check(self, shard: Shard) -> None:
        """Nothing: a request for each shard takes long."""

    def session(self) -> Any:
        """Connections of this process: those of another cannot be shared."""
        import requests

        if self._session is None or self._session[0] != os.getpid():
            self._session = os.getpid(), requests.Session()
        return self._session[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}


class Cached:
    """A folder on a web server, whose shards are kept on disk as they are read.

    A shard is fetched as a whole, by one process while others that want it wait, and must have the
    index's SHA-256. What a process that was killed has fetched of one is gone on with.

    Args:
        web: the server's folder.
        folder: where to keep shards; sets of any servers can share it.
    """

    def __init__(self, web: Web, folder: Path) -> None:
        self.web, self.name = web, web.name
        self.folder = folder / hashlib.sha256(web.name.encode()).hexdigest()[:16]

    def index(self) -> str:
        """The text of `index.json`, which is not kept."""
        return self.web.index()

    def check(self, shard: Shard) -> None:
        """Nothing."""

    def open(self, shard: Shard) -> ShardFile:
        """Open a shard's copy, fetched if need be."""
        from filelock import FileLock

        # With the sum in its name: shards that were written anew are no longer this one.
        path = self.folder / f"{shard.sha256[:16]}-{shard.name}"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                if not path.is_file():
                    self._fetch(shard, path)
        return LocalFile(path)

    def _fetch(self, shard: Shard, path: Path) -> None:
        part = path.with_name(f"{path.name}.part")
        done = part.stat().st_size if part.is_file() else 0
        if done > shard.bytes:
            part.unlink()
            done = 0
        free = shutil.disk_usage(self.folder).free
        if free < shard.bytes - done:
            raise ShardError(
                f"data.cache_dir: {self.folder} has {free / 1e9:.2f} GB free, {shard.name} takes "
                f"{shard.bytes / 1e9:.2f} GB; make room, or leave data.cache_dir out"
            )
        source = self.web.open(shard)
        with part.open("ab") as file:
            for start in range(done, shard.bytes, _STRETCH):
                stretch = min(_STRETCH, shard.bytes - start)
                file.write(source.read(start, stretch, ahead=shard.bytes))
        source.close()
        if sha256_of(part) != shard.sha256:
            part.unlink()
            raise ShardError(
                f"{self.web.url_of(shard.name)}: altered, its SHA-256 is not the index's; upload "
                "it again, or write the shards again"
            )
        os.replace(part, path)
