"""The most memory a call takes beyond what is there before it, as the system counts pages."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

from videowino.kernels import native
from videowino.timing import using_threads

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_extra(call: Callable[[], object], threads: int) -> int | None:
    """Bytes at the peak of a second call, with the kernels' workspaces given back before it.

    What the first call leaves (packed weights, the memory of a result of the same size) is there
    already. None where the system keeps no such count (/proc of Linux).
    """
    library = native.library()
    with using_threads(threads):
        call()
        gc.collect()
        if library is not None:
            library.vw_release(threads)
        try:
            _CLEAR.write_text("5")
            resident = _kilobytes("VmRSS")
        except OSError:
            return None
        call()
        return max(0, _kilobytes("VmHWM") - resident) * 1024


def _kilobytes(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise OSError(f"no {name}")
