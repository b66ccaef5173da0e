"""Loading processes: what they are told when they start, and how they end."""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import multiprocessing.util  # its own exit handler comes first, so that ours runs before it
import signal

_THE_TRAINING_S = ("SIGINT", "SIGTERM", "SIGUSR1")


def deaf_to_signals(worker: int) -> None:
    """Leaves signals that a terminal or a cluster sends to all processes to the training.

    It ends the loading processes itself, when its step is done and its checkpoint saved; they also
    end when it is gone.
    """
    for name in _THE_TRAINING_S:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


@functools.cache
def end_with_process() -> None:
    """Have loading processes that are left when this one exits killed.

    Python asks them with SIGTERM, to which they are deaf, and then waits for them for ever.
    """
    atexit.register(_kill_left)


def _kill_left() -> None:
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's would report what is meant here
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()
