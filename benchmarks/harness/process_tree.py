"""A server and all processes that it started: what they keep, what they compute, and how they are made to wait."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness.rounds import cpu_s


def descendants(pid: int) -> set[int]:
    """The process ids of a process's children, theirs, and so on."""
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(int(child) for child in children.read_text().split())
    return found.union(*(descendants(child) for child in found))


def family(pid: int) -> set[int]:
    """A process and its descendants."""
    return {pid} | descendants(pid)


def memory_mb(pid: int) -> float:
    """What a family keeps in memory, shared pages counted once, in MB."""
    total_kb = 0
    for each in family(pid):
        with contextlib.suppress(OSError):
            found = re.search(r"(?m)^Pss:\s+(\d+)", Path(f"/proc/{each}/smaps_rollup").read_text())
            total_kb += int(found[1]) if found else 0
    return total_kb / 1024


def spent_s(pid: int) -> float:
    """Processor seconds that a family's living processes have used."""
    total_s = 0.0
    for each in family(pid):
        with contextlib.suppress(OSError):
            total_s += cpu_s(each)
    return total_s


def pause(pid: int) -> None:
    """Stop a family, those too that it starts meanwhile."""
    stopped: set[int] = set()
    while running := family(pid) - stopped:
        send(signal.SIGSTOP, running)
        stopped |= running


def resume(pid: int) -> None:
    """Let a paused family go on."""
    send(signal.SIGCONT, family(pid))


@contextlib.contextmanager
def going(pid: int) -> Iterator[None]:
    """Inside, a paused family goes on."""
    resume(pid)
    try:
        yield
    finally:
        pause(pid)


def send(number: signal.Signals, pids: set[int]) -> None:
    """Signal those of these processes that still live."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
