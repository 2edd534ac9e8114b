"""The most resident memory that a process reached, and the most that docs/reference/limits.md lets it reach."""

from __future__ import annotations

from pathlib import Path

BOUNDS_MB = {"agent": 512, "lookup service": 512, "proxy": 512, "worker": 2048}
"""By the first words of a process's name, in MiB."""


def forget_peak(pid: int) -> None:
    """The peak of a process's memory counts from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mb(pid: int) -> float:
    """The most resident memory of a process since `forget_peak`, in MiB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def bound_mb(name: str) -> int:
    """What a process of this name (`worker 2`) may reach."""
    return next(bound for start, bound in BOUNDS_MB.items() if name.startswith(start))
