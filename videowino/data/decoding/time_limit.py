"""Calls that must not take for ever: a decoder that hangs costs one video, not the training.

Nothing can stop a thread within a library. A call is therefore made in a thread of its own, which
is left behind where it does not come back, and the caller goes on; decoders release Python's lock
while they work. What is left behind holds its memory, and a core if it spins, until the process
ends, so that only few may be (`data.max_bad`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class TimeLimit:
    """Makes calls, each within a time.

    Args:
        seconds: how long one may take; 0 for no limit, and no thread.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._helper: _Helper | None = None

    def __call__(self, function: Callable[[], T]) -> T:
        """What the function returns or raises.

        Raises:
            TimeoutError: it has not returned in time.
        """
        if not self.seconds:
            return function()
        if self._helper is None or self._helper.process != os.getpid():  # threads are not forked
            self._helper = _Helper()
        call = _Call(function)
        self._helper.calls.put(call)
        if not call.done.wait(self.seconds):
            self._helper.calls.put(None)
            self._helper = None
            raise TimeoutError(f"took longer than {self.seconds:g} s")
        if call.error is not None:
            raise call.error
        return call.result

    def __getstate__(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "_helper": None}


class _Call:
    def __init__(self, function: Callable[[], Any]) -> None:
        self.function, self.done = function, threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None


class _Helper:
    """A thread that makes one call after the other, until it is given None."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.calls: SimpleQueue[_Call | None] = SimpleQueue()
        # A daemon: the process may end while it hangs.
        threading.Thread(target=self._run, name="decoding", daemon=True).start()

    def _run(self) -> None:
        while (call := self.calls.get()) is not None:
            try:
                call.result = call.function()
            except BaseException as error:
                call.error = error
            call.done.set()
            del call
