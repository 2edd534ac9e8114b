"""A process with all of its descendants: what they use, and how they are paused."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness.processes import cpu_s


def descendants(pid: int) -> set[int]:
    """The process ids of a process's children, theirs, and so on."""
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(int(child) for child in children.read_text().split())
    return found.union(*(descendants(child) for child in found))


def process_tree(pid: int) -> set[int]:
    """A process and its descendants."""
    return {pid} | descendants(pid)


def memory_mb(pid: int) -> float:
    """The memory of a process tree, shared pages counted once (PSS), in MB."""
    total_kb = 0
    for each in process_tree(pid):
        with contextlib.suppress(OSError):
            found = re.search(r"(?m)^Pss:\s+(\d+)", Path(f"/proc/{each}/smaps_rollup").read_text())
            total_kb += int(found[1]) if found else 0
    return total_kb / 1024


def spent_s(pid: int) -> float:
    """Processor seconds that the living processes of a process tree have used."""
    total_s = 0.0
    for each in process_tree(pid):
        with contextlib.suppress(OSError):
            total_s += cpu_s(each)
    return total_s


def pause(pid: int) -> None:
    """Pause a process tree (SIGSTOP), the processes too that it starts meanwhile."""
    stopped: set[int] = set()
    while running := process_tree(pid) - stopped:
        send(signal.SIGSTOP, running)
        stopped |= running


def resume(pid: int) -> None:
    """Let a paused process tree go on (SIGCONT)."""
    send(signal.SIGCONT, process_tree(pid))


@contextlib.contextmanager
def resumed(pid: int) -> Iterator[None]:
    """Inside the block, a paused process tree goes on."""
    resume(pid)
    try:
        yield
    finally:
        pause(pid)


def send(number: signal.Signals, pids: set[int]) -> None:
    """Send a signal to those of these processes that still live."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
