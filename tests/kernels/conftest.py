import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def run_on():
    """Runs code in a process of its own, on kernels of an instruction set; returns its output."""

    def run(isa, code):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"VIDEOWINO_ISA": isa},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
