import os
import signal
import subprocess
import sys
import time

import pytest

from videowino.training.orphans import end_with_launcher

RANK = """
import time
from videowino.training.orphans import end_with_launcher
end_with_launcher()
print("ready", flush=True)
time.sleep(60)
"""
LAUNCHER = f"""
import os, subprocess, sys
rank = subprocess.Popen([sys.executable, "-c", {RANK!r}], stdout=subprocess.PIPE)
rank.stdout.readline()
print(rank.pid, flush=True)
rank.wait()
"""


def alive(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
@pytest.mark.parametrize("launched", [True, False])
def test_a_rank_ends_when_its_launcher_is_killed(launched):
    env = {n: v for n, v in os.environ.items() if n not in ("LOCAL_RANK", "SLURM_PROCID")}
    env |= {"LOCAL_RANK": "1"} if launched else {}
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER], stdout=subprocess.PIPE, text=True, env=env
    )
    rank = int(launcher.stdout.readline())
    try:
        launcher.kill()
        launcher.wait()
        deadline = time.monotonic() + (30 if launched else 0.5)
        while alive(rank) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert alive(rank) is not launched
    finally:
        if alive(rank):
            os.kill(rank, signal.SIGKILL)
        launcher.stdout.close()


def test_a_process_that_nobody_launched_is_left_alone(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr("videowino.training.orphans.os.getppid", lambda: 1)
    end_with_launcher()
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("SLURM_PROCID", "0")
    end_with_launcher()
