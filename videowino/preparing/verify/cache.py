"""What scanning showed, kept beside the CSV: a second run is quick, an interrupted one goes on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import av

from videowino.files import replacing
from videowino.preparing.verify.scan import Scan

_VERSION = 1  # of what `scan_file` sees; another one scans again


class ScanCache:
    """Scans by path, size and time of change, as lines of JSON that are written as they come.

    Args:
        path: the cache's file; made where absent. Lines that cannot be read are left out.
        fresh: forget what is in it.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.path = path
        self._kept: dict[str, dict] = {}
        if path.is_file() and not fresh:
            self._read()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rewrite()
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> ScanCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def get(self, name: str, file: Path, timeout: float) -> Scan | None:
        """The scan of a file that is as it was; None otherwise.

        Args:
            name: its path relative to the root.
            file: the file.
            timeout: one that took longer than another limit is worth a second try.
        """
        kept = self._kept.get(name)
        if kept is None or kept["state"] != _state(file):
            return None
        scan = Scan(**kept["scan"])
        scan.notes = [(note, value) for note, value in scan.notes]
        return None if scan.kind == "timeout" and kept["timeout"] < timeout else scan

    def put(self, name: str, file: Path, scan: Scan, timeout: float) -> None:
        """Keep a scan, at once. A crash is not kept: memory may have been short."""
        if scan.kind == "crash":
            return
        entry = {"state": _state(file), "timeout": timeout, "scan": asdict(scan)}
        self._kept[name] = entry
        self._file.write(_line({"path": name, **entry}))
        self._file.flush()

    def _read(self) -> None:
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        if not lines or _parsed(lines[0]) != _header():
            return
        for entry in map(_parsed, lines[1:]):
            if set(entry) == {"path", "state", "timeout", "scan"}:
                self._kept[entry.pop("path")] = entry

    def _rewrite(self) -> None:
        """Each file once, and no half line at the end."""
        lines = [_line({"path": name, **entry}) for name, entry in self._kept.items()]
        with replacing(self.path) as part:
            part.write_text(_line(_header()) + "".join(lines), encoding="utf-8")


def _state(file: Path) -> list[int]:
    try:
        found = file.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def _header() -> dict:
    return {"videowino verify": _VERSION, "PyAV": av.__version__}


def _line(value: dict) -> str:
    return json.dumps(value) + "\n"


def _parsed(line: str) -> dict:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
