"""Download a file, going on where a former attempt stopped."""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from videowino.preparing.archives import PART

_CHUNK = 1 << 20
_ATTEMPTS = 5
_TIMEOUT = 30  # seconds without a byte

# Told of (bytes there, bytes in all or None).
Progress = Callable[[int, int | None], None]


class Unreachable(Exception):
    """The address cannot be had from this machine; the message says why."""


def download(
    url: str, place: Path, size: int | None, progress: Progress, pause: float = 2.0
) -> None:
    """Download `url` to `place`, by way of a `.part` file beside it that a later call goes on with.

    A part is only gone on with where the server says that the file is still the same one (its ETag
    or date is kept beside the part). A connection that breaks is taken up again, five times.

    Args:
        url: http or https.
        place: the file to be.
        size: bytes that it should have, None for what the server says.
        progress: told of how far it is.
        pause: seconds before the second attempt; later ones wait longer.

    Raises:
        Unreachable: no connection, no such file, no valid certificate, or too many breaks.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(place.name + PART)
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(pause * attempt)
        before = part.stat().st_size if part.exists() else 0
        try:
            total = _fetch(url, part, size, progress)
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # a part that is longer than the file
                part.unlink()
                continue
            raise Unreachable(f"HTTP {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            reason = str(error.reason)
            if not before and not part.exists():
                raise Unreachable(reason) from None
            continue
        except (OSError, http.client.HTTPException) as error:
            reason = f"the connection broke: {error}"
            continue
        if total is not None and part.stat().st_size != total:
            reason = f"it ended after {part.stat().st_size} of {total} bytes"
            continue
        os.replace(part, place)
        _validator(part).unlink(missing_ok=True)
        return
    raise Unreachable(f"{reason}; run it again to go on")


def _fetch(url: str, part: Path, size: int | None, progress: Progress) -> int | None:
    """Read until the stream ends; returns how long the file should be."""
    request = urllib.request.Request(url, headers={"User-Agent": "videowino"})
    there = part.stat().st_size if part.exists() else 0
    note = _validator(part)
    if there and note.exists():
        if size is not None and there == size:
            return size
        request.add_header("Range", f"bytes={there}-")
        request.add_header("If-Range", note.read_text())
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        going_on = answer.status == http.client.PARTIAL_CONTENT
        if not going_on:
            there = 0
            known = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            # A weak ETag does not promise the same bytes.
            if known and not known.startswith("W/"):
                note.write_text(known)
            else:
                note.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length")
        total = there + int(length) if length else size
        with part.open("ab" if going_on else "wb") as file:
            progress(there, total)
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                there += len(chunk)
                progress(there, total)
    return total


def _validator(part: Path) -> Path:
    return part.with_name(part.name + ".etag")
