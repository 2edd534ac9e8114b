"""What the harness does with processes: it pauses trees of them, finds ports for them, limits their cores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.harness.affinity import cores
from benchmarks.harness.process_tree import descendants, pause, resume, resumed
from benchmarks.harness.processes import cpu_s, free_ports
from worker.system.cpu import usable_cores

BUSY = "while True: pass"
PARENT = f"""import subprocess, sys
subprocess.Popen([sys.executable, "-c", {BUSY!r}])
print(1, flush=True)
{BUSY}"""


def state(pid: int) -> str:
    """The state of a process, T of one that is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_paused_process_tree_computes_nothing_until_it_is_resumed() -> None:
    """Neither the process nor its child takes processor time from a contestant that is measured."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        (child,) = descendants(process.pid)
        try:
            pause(process.pid)
            while (state(process.pid), state(child)) != ("T", "T"):
                os.sched_yield()
            before_s = cpu_s(child)
            with resumed(process.pid):
                while cpu_s(child) == before_s:  # until it computes again
                    os.sched_yield()
            while (state(process.pid), state(child)) != ("T", "T"):
                os.sched_yield()
        finally:
            os.kill(child, 9)
            process.kill()
            resume(process.pid)


def test_ports_given_together_differ() -> None:
    """A server that needs three ports gets three."""
    assert len(set(free_ports(20))) == 20


def test_an_engine_loaded_with_one_core_has_one_thread() -> None:
    """After the block, the thread that loaded it may use all cores again."""
    before = os.sched_getaffinity(0)
    with cores(1, first=1):
        assert usable_cores() == 1
    with cores(0):
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before
