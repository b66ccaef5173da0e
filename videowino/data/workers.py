"""What loading processes are told when they start."""

from __future__ import annotations

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
