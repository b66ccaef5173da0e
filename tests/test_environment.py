"""What is stated beside a time."""

import torch

from videowino.environment import describe
from videowino.kernels import native


def test_describes_this_process():
    environment = describe(threads=1)
    assert environment.threads == 1 and describe().threads == torch.get_num_threads()
    assert environment.instruction_set == torch.backends.cpu.get_cpu_capability().lower()
    assert environment.versions["torch"] == torch.__version__
    assert environment.device == "cpu"
    assert environment.processor
    assert f"{environment.instruction_set}, 1 thread, torch" in str(environment)
    assert ", 3 threads, " in str(describe(threads=3))


def test_says_that_threads_sleep_while_they_wait(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert "OMP" not in str(describe(threads=2))
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert ", 2 threads, OMP_WAIT_POLICY=passive, torch" in str(describe(threads=2))


def test_says_what_runs_the_winograd_layers(monkeypatch):
    for found, said in (("avx2", "kernels, avx2"), (None, "reference")):
        monkeypatch.setattr(native, "instruction_set", lambda found=found: found)
        assert describe().winograd == said
