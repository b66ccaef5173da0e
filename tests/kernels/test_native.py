"""Without the library the reference computes, and says so once."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CODE = """
import warnings
warnings.simplefilter("always")
from videowino.kernels import native
native._path = lambda: {path}
import torch, torch.nn.functional as F
from videowino.winograd import Tile, winograd_conv3d
x, weight = torch.randn(1, 4, 4, 8, 8), torch.randn(4, 4, 3, 3, 3)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        y = winograd_conv3d(x, out_channels=4, tile=Tile((2, 4, 4), (3, 3, 3)), spatial=weight,
                            padding=1)
assert torch.allclose(y, F.conv3d(x, weight, padding=1), atol=1e-4)
for warning in caught:
    print(warning.message)
"""


def said(path):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(path=path)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_not_built():
    (line,) = said(None)
    assert "CPU kernels are missing" in line and "Install a C++ compiler" in line


def test_a_broken_library():
    (line,) = said("'/nowhere/_native.so'")
    assert "/nowhere/_native.so" in line and "the plain-PyTorch reference computes" in line
