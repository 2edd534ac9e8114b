"""What a process uses at one moment: memory, open files, threads, and tasks of its event loop."""

from __future__ import annotations

import contextlib
import os
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.process_tree import process_tree


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its descendants use, `at_s` seconds after the beginning.

    unique_mb:       memory of them alone (USS), in MiB
    proportional_mb: the same and their part of what they share with other processes (PSS), in MiB
    tasks:           unfinished tasks of the process's event loop
    """

    at_s: float
    unique_mb: float
    proportional_mb: float
    files: int
    threads: int
    tasks: int


def usage(pid: int, *, at_s: float, tasks: int) -> Usage:
    """What the process `pid` and its descendants use now."""
    unique_kb = proportional_kb = files = threads = 0
    for each in process_tree(pid):
        with contextlib.suppress(OSError):  # it has ended since it was listed
            folder = Path(f"/proc/{each}")
            memory = (folder / "smaps_rollup").read_text()
            files += len(os.listdir(folder / "fd"))
            threads += len(os.listdir(folder / "task"))
            unique_kb += sum(int(size) for size in re.findall(r"(?m)^Private_(?:Clean|Dirty):\s+(\d+)", memory))
            proportional_kb += sum(int(size) for size in re.findall(r"(?m)^Pss:\s+(\d+)", memory))
    return Usage(at_s, unique_kb / 1024, proportional_kb / 1024, files, threads, tasks)


def tasks_of(url: str) -> int:
    """The unfinished tasks of the lookup service or worker at `url`, by its metrics."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        found = re.search(r"(?m)^p2p_(?:registry|worker)_tasks (\d+)", answer.read().decode())
    assert found, f"{url} has no metric of its tasks"
    return int(found[1])
