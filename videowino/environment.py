"""What a measured time depends on, stated beside it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import torch

from videowino.kernels import native

_PACKAGES = ("videowino", "torch", "torchvision", "pytorch-lightning")


@dataclass(frozen=True)
class Environment:
    """Machine, versions and thread count of a measurement.

    Attributes:
        processor: the CPU's own name.
        instruction_set: what PyTorch's CPU kernels are dispatched to, e.g. "avx2" or "avx512".
        winograd: what ran the Winograd layers: "kernels, avx512" (or another instruction set), or
            "reference" where there is no kernel for the device or none was built.
        threads: torch's intra-op threads.
        device: "cpu", or the GPU's name.
        versions: package -> version; absent ones are left out.
        python: the interpreter's version.
        system: operating system and architecture.
        measured_at: UTC time, ISO 8601.
        wait_policy: OMP_WAIT_POLICY where it is set: a network of a millisecond takes twice as long
            with "passive".
    """

    processor: str
    instruction_set: str
    winograd: str
    threads: int
    device: str
    versions: dict[str, str]
    python: str
    system: str
    measured_at: str
    wait_policy: str | None = None

    def __str__(self) -> str:
        """One line, as it stands under a table."""
        threads = f"{self.threads} thread" + ("s" if self.threads != 1 else "")
        on = self.device if self.device != "cpu" else self.processor
        policy = f", OMP_WAIT_POLICY={self.wait_policy}" if self.wait_policy else ""
        return f"{on}, {self.instruction_set}, {threads}{policy}, torch {self.versions['torch']}"


def describe(device: torch.device | str = "cpu", threads: int | None = None) -> Environment:
    """Describes this process.

    Args:
        device: where the networks run.
        threads: torch's intra-op threads during the measurement; None takes the present number.
    """
    device = torch.device(device)
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return Environment(
        processor=_processor(),
        instruction_set=torch.backends.cpu.get_cpu_capability().lower(),
        winograd=_winograd(device),
        threads=threads or torch.get_num_threads(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        versions=versions,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        wait_policy=os.environ.get("OMP_WAIT_POLICY"),
    )


def _winograd(device: torch.device) -> str:
    kernels = native.instruction_set() if device.type == "cpu" else None
    return "reference" if kernels is None else f"kernels, {kernels}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # platform.processor() is empty on most Linux systems
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
