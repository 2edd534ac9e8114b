"""The scheduling policy of a worker, seen in a process of its own."""

from __future__ import annotations

import os

from tests.support.python_program import printed_numbers


def test_threads_of_a_worker_use_batch_scheduling() -> None:
    """Threads that are made afterwards do not interrupt others; a policy that somebody chose stays."""
    program = """
import os, threading
from worker.system.scheduling import use_batch_scheduling

use_batch_scheduling()
found = []
thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
use_batch_scheduling()
print(*found, os.sched_getscheduler(0))
"""
    assert printed_numbers(program) == [os.SCHED_BATCH, os.SCHED_IDLE]
