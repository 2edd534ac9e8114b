"""The machine in words, and an NVIDIA GPU's busy share and memory while something runs (nvidia-ml-py)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import threading
from collections.abc import Iterator
from datetime import date
from statistics import fmean
from typing import Any

from benchmarks.gpu.setup import Setup
from worker.system.cpu import processor

SAMPLE_S = 0.1

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "aiohttp", "uvloop", "onnxruntime", "nvidia-ml-py")


def described_machine(setup: Setup) -> dict[str, str]:
    """What the figures are valid for."""
    versions = []
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    gpu = opened_gpu() if setup.on_gpu else None
    return {
        "device": setup.device if setup.on_gpu else "cpu: a rehearsal, which says nothing about a GPU",
        "GPU": gpu.name if gpu else "none is used",
        "processor": processor(),
        "network": f"{setup.network}, seeded weights",
        "Python": platform.python_version(),
        "packages": ", ".join(versions),
        "date": str(date.today()),
    }


class Gpu:
    """The first NVIDIA GPU, as its driver describes it."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handle = nvml.nvmlDeviceGetHandleByIndex(0)
        self.name = str(nvml.nvmlDeviceGetName(self._handle))

    def used_mb(self) -> float:
        """Memory that all processes use."""
        return float(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used) / 2**20

    def used_by_mb(self, pid: int) -> float | None:
        """Memory that one process uses; None where the driver does not say."""
        running = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        used = next((each.usedGpuMemory for each in running if each.pid == pid), None)
        return None if used is None else float(used) / 2**20

    @contextlib.contextmanager
    def busy(self) -> Iterator[list[float]]:
        """The share of time, in each of several periods inside the block, in which a kernel ran; complete after it."""
        shares: list[float] = []
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(SAMPLE_S):
                shares.append(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu / 100)

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield shares
        finally:
            ended.set()
            thread.join()


def opened_gpu() -> Gpu | None:
    """The first GPU; None where there is none, or no nvidia-ml-py."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return Gpu(pynvml)
    except pynvml.NVMLError:
        return None


@contextlib.contextmanager
def busy_share(gpu: Gpu | None) -> Iterator[list[float]]:
    """As `Gpu.busy`; an empty list without a GPU."""
    if gpu is None:
        yield []
        return
    with gpu.busy() as shares:
        yield shares


def mean_share(shares: list[float]) -> str:
    """The busy share in words for a note; nothing without a GPU."""
    return f"GPU busy {fmean(shares):.0%}" if shares else ""
