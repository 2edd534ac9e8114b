"""What a worker's process asks of its system has its effect, seen in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]


def printed(program: str) -> list[int]:
    """What a Python program prints, as numbers."""
    output = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    return [int(word) for word in output.stdout.split()]


def test_freed_memory_is_used_again_without_page_faults() -> None:
    """A megabyte taken and freed a hundred times is got from the kernel once, not each time."""
    program = """
import resource
from worker.system.process import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        pieces = [bytes([1]) * 250_000 for _ in range(4)]
        body = b"".join(pieces)
        copies = [body[1:], body[2:]]
        del pieces, body, copies
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
keep_freed_memory()
faults()
print(faults())
"""
    alone, kept = printed(program)
    assert kept < 1000 < alone  # of 100 x 4 MB / 4 kB = 100,000


def test_the_limit_of_open_files_is_raised_as_far_as_allowed() -> None:
    """A soft limit of 256 becomes the hard limit, and so a worker has room for its connections."""
    program = """
import resource
from worker.system.process import open_many_files

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
open_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    soft, hard = printed(program)
    assert soft == hard > 256


def test_a_thread_that_hangs_does_not_keep_a_process() -> None:
    """A process whose executor never ends exits with the code it was to exit with, when its time is up."""
    program = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from worker.system.process import end_in_time

ThreadPoolExecutor(1).submit(threading.Event().wait)
end_in_time(7, within_s=0.2)
sys.exit(7)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=20, check=False)
    assert ended.returncode == 7


def test_threads_of_a_worker_run_in_long_stretches() -> None:
    """Threads that are made afterwards do not interrupt others; a policy that somebody chose stays."""
    program = """
import os, threading
from worker.system.process import run_in_long_stretches

run_in_long_stretches()
found = []
thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
run_in_long_stretches()
print(*found, os.sched_getscheduler(0))
"""
    assert printed(program) == [os.SCHED_BATCH, os.SCHED_IDLE]
