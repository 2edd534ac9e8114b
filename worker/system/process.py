"""What a worker's process asks of its system: memory to keep, open files, time in long stretches, an end.

malloc: bodies and pictures are of the sizes that glibc, left alone, gets from the kernel and returns to it one by
one, so that each request pays for hundreds of page faults: more than half of what receiving 1 MB costs.
"""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)

# mallopt(3); a value that is set also ends malloc's own adjusting.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

KEPT_BYTES = 64 << 20
"""Free memory at the end of a heap up to this stays with the process."""

FROM_HEAP_BYTES = 32 << 20
"""Blocks up to this come from a heap; the most that mallopt takes."""

END_S = 5.0
"""How long a worker that has left waits for threads that still compute."""


def keep_freed_memory() -> None:
    """Let malloc keep what is freed; without effect, and without harm, where there is no glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        _log.debug("This is no glibc: malloc is left as it is.")
        return
    mallopt(_M_MMAP_THRESHOLD, FROM_HEAP_BYTES)
    mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def open_many_files() -> None:
    """Raise the limit of open files, and so of connections, as far as this user may: often from 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run_in_long_stretches() -> None:
    """Let threads that wake up wait until those that compute have had their slice (sched(7): SCHED_BATCH).

    To be called before the threads are made, which inherit it. Where all cores are busy every byte that comes wakes
    the event loop, and whatever it interrupts then computes with cold caches, as does the loop itself: with 4, 16 and
    64 clients the worker answers some percent more (docs/explanation/batching.md). An idle core still takes up at once
    what comes, and other programs on the machine, such as a Consul agent, need not wait for a worker's slice to end. A
    policy that somebody else has set is left as it is.
    """
    with _left_as_it_is():
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def run_when_idle() -> None:
    """Compute only while nobody else wants a core, and give it back at once (sched(7): SCHED_IDLE).

    However low its priority, a process of another policy is not interrupted by a worker's threads, which run in long
    stretches: they would wait for its slice to end whenever they wake, five times a request. Where there is no such
    policy, the lowest priority.
    """
    os.nice(19)
    with _left_as_it_is():
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


@contextmanager
def _left_as_it_is() -> Iterator[None]:
    """Scheduling policies are Linux's, and a container may forbid them; nothing depends on them but speed."""
    try:
        yield
    except (AttributeError, OSError) as error:
        _log.debug("The scheduling policy is left as it is: %s", error)


def end_in_time(code: int, *, within_s: float = END_S) -> None:
    """End this process with `code` after a while, if it has not ended by itself.

    Python waits for every thread that is in an executor; one that hangs in an engine would keep it for ever.
    """
    clock = threading.Timer(within_s, os._exit, (code,))
    clock.daemon = True
    clock.start()
