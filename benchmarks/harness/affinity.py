"""Which processor cores a process or a thread may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

SERVER_CORE, CLIENT_CORE = 0, 1
"""Where benchmarks pin what is measured, and the process that sends the load."""


@contextlib.contextmanager
def cores(count: int, *, first: int = 0) -> Iterator[None]:
    """Inside the block, the calling thread may use only `count` cores, from the `first` on; 0 changes nothing.

    An engine makes as many threads as the thread that loads it may use cores, so a model that is loaded inside the
    block has an engine of `count` threads. (ONNX Runtime with one thread makes none of its own and computes in its
    caller.) Threads that are made inside the block stay on these cores: models that are loaded side by side need
    different values of `first`.
    """
    allowed = os.sched_getaffinity(0)
    ordered = sorted(allowed)
    if count:
        os.sched_setaffinity(0, {ordered[(first + number) % len(ordered)] for number in range(count)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
