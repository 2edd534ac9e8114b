"""The cores that this process may use, and the processor's name.

An engine with more threads than usable cores waits for its own threads.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""A container's quota (cgroup v2): microseconds of processor time in each period, or "max", and the period."""


def usable_cores(quota: Path = _QUOTA) -> int:
    """Cores in this process's affinity mask, or fewer where its container's quota is smaller; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        share, period = quota.read_text("ascii").split()
    except (OSError, ValueError):
        return allowed
    return allowed if share == "max" else max(1, min(allowed, math.ceil(int(share) / int(period))))


def processor() -> str:
    """The processor's name, its usable cores and the vector units that matter here: what timings are valid for."""
    lines = _description()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), os.uname().machine)
    return f"{name}, {usable_cores()} cores {' '.join(_vector_units(lines))}".strip()


def has_bf16() -> bool:
    """Whether the processor computes in bf16."""
    return any(unit.endswith("_bf16") for unit in _vector_units(_description()))


def _description() -> list[str]:
    """The kernel's lines about the processor; none where there is no such file."""
    try:
        return Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return []


def _vector_units(lines: list[str]) -> list[str]:
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return [word for word in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if word in flags.split()]
