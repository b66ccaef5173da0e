"""Stretches of files on a web server, whatever becomes of the connection."""

from __future__ import annotations

import re
import time
import warnings
from functools import cache
from typing import Any

from videowino.data.streaming.index import ShardError

# A worker waits for a server this long before it asks again, and asks again so many times without
# having got anything: 31 seconds in all, the time that a server takes to restart.
TIMEOUT = 30.0
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
_BUSY = (408, 429, 500, 502, 503, 504)
# What a connection that breaks loses at most.
_BLOCK = 64 << 10


class HttpFile:
    """Reads a file on a web server forwards, in stretches.

    One request serves a run of stretches (`ahead`); a server that sends no byte ranges is read from
    the first byte on, and what is not wanted is thrown away. A connection that breaks goes on where
    it was.

    Args:
        url: of the file.
        size: bytes that it must have.
        session: of `requests`; keeps connections.
    """

    def __init__(self, url: str, size: int, session: Any) -> None:
        self.url, self.size, self._session = url, size, session
        self.name = url.partition("?")[0]  # messages are without the query, often a key
        self._response: Any = None
        self._place = self._end = 0  # of the response: next byte, and where it ends
        self._ranges = True

    def read(self, start: int, size: int, ahead: int = 0) -> bytes:
        """Bytes from `start` on.

        Args:
            start: first byte.
            size: how many.
            ahead: where the run ends of which more will be read soon after.

        Raises:
            ShardError: the server refuses, the file is not as large as it should be, or nothing
                comes after several attempts.
        """
        found = bytearray()
        failures = 0
        stop = start + size
        while (place := start + len(found)) < stop:
            try:
                self._go_to(place, max(stop, ahead))
                found += self._block(stop - place)
                failures = 0
            except _broken() as error:
                self.close()
                if failures == len(PAUSES):
                    raise ShardError(
                        f"{self.name}: cannot be read: {reason(error)} (tried {failures + 1} times)"
                    ) from None
                time.sleep(PAUSES[failures])
                failures += 1
        return bytes(found)

    def close(self) -> None:
        """End the response that is open."""
        if self._response is not None:
            self._response.close()
        self._response = None

    def _go_to(self, place: int, stop: int) -> None:
        """Have a response that is at `place`."""
        open_here = self._response is not None and self._place <= place < self._end
        # Skipping costs as much as reading; with ranges, what is skipped need not be sent.
        if not open_here or (self._ranges and place != self._place):
            self._ask(place, stop)
        while self._place < place:
            self._block(place - self._place)

    def _block(self, most: int) -> bytes:
        block = self._response.raw.read(min(_BLOCK, most))
        if not block:
            raise ConnectionError("the connection was closed")
        self._place += len(block)
        return block

    def _ask(self, place: int, stop: int) -> None:
        self.close()
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={place}-{stop - 1}"}
        response = self._session.get(self.url, headers=headers, stream=True, timeout=TIMEOUT)
        try:
            check_status(self.name, response)
            first, total = _first_and_total(response)
            if total not in (None, self.size):
                raise ShardError(
                    f"{self.name}: has {total} bytes, the index says {self.size}; upload it again, "
                    "or write the shards again"
                )
            if first > place:
                raise ShardError(f"{self.name}: the server sends other bytes than it was asked for")
        except Exception:
            response.close()
            raise
        self._response, self._place = response, first
        self._ranges = response.status_code == 206
        self._end = stop if self._ranges else self.size
        if not self._ranges and place:
            _tell_of_whole_files(self.name.rpartition("/")[0])


def fetch(url: str) -> bytes:
    """A small file as a whole.

    Raises:
        FileNotFoundError: there is none.
        ShardError: the server refuses or does not answer.
    """
    import requests

    name = url.partition("?")[0]
    for pause in (*PAUSES[:2], None):
        try:
            with requests.get(url, timeout=TIMEOUT) as response:
                if response.status_code == 404:
                    raise FileNotFoundError(f"{name}: HTTP 404, no such file")
                check_status(name, response)
                return response.content
        except _broken() as error:
            if isinstance(error, FileNotFoundError):
                raise
            if pause is None:
                raise ShardError(f"{name}: cannot be read: {reason(error)}") from None
            time.sleep(pause)
    raise AssertionError("unreachable")


def check_status(name: str, response: Any) -> None:
    """Tell what to do about a status, by the kind of the error.

    Raises:
        ConnectionError: trying again may help.
        ShardError: it would not.
    """
    status = f"HTTP {response.status_code} {response.reason}"
    if response.status_code in _BUSY:
        raise ConnectionError(status)
    if response.status_code == 416:
        raise ShardError(f"{name}: cut off, it ends before what the index lists; upload it again")
    if response.status_code not in (200, 206):
        raise ShardError(f"{name}: {status}; is the address right, and was the file uploaded?")


def _broken() -> tuple[type[Exception], ...]:
    """What a connection that breaks, or never was, raises."""
    import requests
    import urllib3

    return requests.RequestException, urllib3.exceptions.HTTPError, OSError


def _first_and_total(response: Any) -> tuple[int, int | None]:
    """First byte that a response holds, and bytes of the whole file where the server says."""
    if response.status_code == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if span is None:
            raise ConnectionError("a part of a file that is not said where from")
        return int(span[1]), None if span[2] == "*" else int(span[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


@cache
def _tell_of_whole_files(server: str) -> None:
    warnings.warn(
        f"{server}: the server sends no parts of files, so that every worker reads all of each "
        "shard; data.cache_dir keeps shards on disk, read once",
        stacklevel=2,
    )


def reason(error: Exception) -> str:
    """The message of an error of requests or urllib3, without the addresses of its objects."""
    inner: Any = error
    while getattr(inner, "args", None) and isinstance(inner.args[0], Exception):
        inner = inner.args[0]
    inner = getattr(inner, "reason", inner)
    return re.sub(r"<[^>]*>:? ?", "", str(inner)) or type(error).__name__
