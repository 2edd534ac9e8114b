"""Decides from samples whether a process grows: the first window after the warm-up beside the last one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.soak.usage import Usage

MEMORY_AT_MOST = 1.03
"""The memory at the end divided by the memory after the warm-up."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a process used in one part of the run.

    Of memory the median of the samples counts, of files, threads and tasks the lower quartile: they follow the requests
    in flight, and a leak raises the quartile, too.
    """

    unique_mb: float
    proportional_mb: float
    files: int
    threads: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Growth:
    """A process in the first window after the warm-up, and in the last one."""

    name: str
    first: Window
    last: Window

    @property
    def memory(self) -> float:
        """How many times the memory of the first window the process has in the last one."""
        return self.last.unique_mb / self.first.unique_mb

    def faults(self) -> list[str]:
        """What has grown, in sentences."""
        faults = []
        if self.memory > MEMORY_AT_MOST:
            faults.append(f"{self.name}: memory is {self.memory:.3f} times what it was")
        for what in ("files", "threads", "tasks"):
            before, after = getattr(self.first, what), getattr(self.last, what)
            if after > before:
                faults.append(f"{self.name}: {before} {what} after the warm-up, {after} at the end")
        return faults


def growth(name: str, samples: Sequence[Usage], *, warm_s: float, window_s: float) -> Growth:
    """Of a process, the window of `window_s` after `warm_s` and the one that ends with the last sample."""
    end_s = samples[-1].at_s
    first = [sample for sample in samples if warm_s <= sample.at_s < warm_s + window_s]
    last = [sample for sample in samples if end_s - window_s < sample.at_s <= end_s]
    return Growth(name, _window(first), _window(last))


def _window(samples: Sequence[Usage]) -> Window:
    return Window(
        unique_mb=median(sample.unique_mb for sample in samples),
        proportional_mb=median(sample.proportional_mb for sample in samples),
        files=_lower_quartile([sample.files for sample in samples]),
        threads=_lower_quartile([sample.threads for sample in samples]),
        tasks=_lower_quartile([sample.tasks for sample in samples]),
    )


def _lower_quartile(numbers: Sequence[int]) -> int:
    return sorted(numbers)[len(numbers) // 4]
