"""The scheduling policies of Linux that the worker's processes run under: SCHED_BATCH and SCHED_IDLE."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


def use_batch_scheduling() -> None:
    """Let threads that wake up wait until the thread that computes has used its time slice (sched(7): SCHED_BATCH).

    Call it before threads are started: they inherit the policy. Without it, each byte that arrives while all cores are
    busy wakes the event loop, which interrupts a prediction; both then go on with cold caches. With 4, 16 and 64
    clients the worker answers some percent more (docs/decisions/0014-prefetched-batches.md). An idle core still takes
    up at once what arrives, and other programs of the machine, such as a Consul agent, need not wait for a worker's
    slice to end. A policy that the operator has set stays.
    """
    with _tolerated():
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def use_idle_scheduling() -> None:
    """Compute only while no other process wants a core, and yield it at once (sched(7): SCHED_IDLE).

    A low priority alone does not do: the threads of a worker run under SCHED_BATCH, so they do not interrupt a process
    of another policy when they wake, five times a request, but wait for its slice to end. Where the system has no such
    policy, the process runs with the lowest priority.
    """
    os.nice(19)
    with _tolerated():
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


@contextmanager
def _tolerated() -> Iterator[None]:
    """Log a policy that cannot be set: only Linux has them, a container may forbid them, only speed depends on them."""
    try:
        yield
    except (AttributeError, OSError) as error:
        _log.debug("The scheduling policy stays as it is: %s", error)
