"""Processes of a training that would outlive the one that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_launcher() -> None:
    """Have the system end this process when the one that launched it, as a rank, is gone.

    Without its launcher, Lightning's first process or torchrun's agent, a rank waits for the
    others, half an hour where they have not met yet, and nobody starts it again. On Linux alone.
    """
    launched = "LOCAL_RANK" in os.environ and "SLURM_PROCID" not in os.environ
    if not launched or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it was gone already
        raise SystemExit("the process that launched this rank has ended")
