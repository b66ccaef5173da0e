"""Fixtures for all tests: where real video is, and steady threads."""

from pathlib import Path

import pytest
import torch

REAL_VIDEO = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips beside the checkout; the test skips where it is absent."""
    if not REAL_VIDEO.is_dir():
        pytest.skip(f"no real clips at {REAL_VIDEO}")
    return REAL_VIDEO


@pytest.fixture(autouse=True)
def _same_numbers_every_run():
    torch.manual_seed(0)
    yield
