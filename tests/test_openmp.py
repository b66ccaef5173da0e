"""How long OpenMP's threads spin in trainings: set before torch is imported, unless users did."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SHOW = (
    "import sys, os, train; assert 'torch' not in sys.modules;"
    f"print(*(os.environ.get(name) for name in {NAMES}))"
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "None 3000 1"),
        ({"OMP_WAIT_POLICY": "passive"}, "passive None None"),
        ({"GOMP_SPINCOUNT": "7"}, "None 7 1"),
    ],
)
def test_what_users_set_stays(given, expected):
    env = {name: value for name, value in os.environ.items() if name not in NAMES} | given
    command = [sys.executable, "-c", SHOW]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], env=env, capture_output=True, text=True
    )
    assert done.stdout.strip() == expected, done.stderr
