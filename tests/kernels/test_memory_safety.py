"""The kernels alone on odd problems (exercise.cpp), under sanitizers and under valgrind."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETS = ["baseline", "avx2", "avx512"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed"),
]


def build(folder, *options):
    """The program, or a skip where the compiler or a sanitizer's library is missing."""
    commands = [
        ["cmake", "-S", ROOT, "-B", folder, "-DVIDEOWINO_EXERCISE=ON", *options],
        ["cmake", "--build", folder, "--parallel", "2"],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot be built here: {(done.stderr or done.stdout)[-300:]}")
    return folder / "exercise"


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    return build(tmp_path_factory.mktemp("sanitized"), "-DVIDEOWINO_SANITIZE=ON")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return build(tmp_path_factory.mktemp("plain"))


def run(isa, command):
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"VIDEOWINO_ISA": isa}
    )
    if not done.stdout.startswith(f"{isa}:") and "0 wrong" in done.stdout:
        pytest.skip(f"this machine has no {isa}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 wrong" in done.stdout
    assert "runtime error" not in done.stderr


@pytest.mark.parametrize("isa", SETS)
def test_address_and_undefined_behaviour(isa, sanitized):
    run(isa, [sanitized, "0", "200"])


@pytest.mark.parametrize("isa", ["baseline", "avx2"])  # valgrind knows no AVX-512
def test_valgrind(isa, plain):
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    run(isa, ["valgrind", "--quiet", "--error-exitcode=9", plain, "0", "25"])


@pytest.mark.parametrize("isa", SETS)
def test_many_problems(isa, plain):
    run(isa, [plain, "1000", "400"])
