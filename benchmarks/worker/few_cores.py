"""An engine with fewer threads than there are cores: loaded by a thread that may use only so many of them.

Engines take as many threads as their thread may use cores (`worker.system.cpu.usable_cores`, which asks for the
affinity of the thread that calls it), so no engine needs an option for this. ONNX Runtime with one thread makes none
of its own, and computes wherever its caller runs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def cores(count: int, *, first: int = 0) -> Iterator[None]:
    """Inside, the calling thread may use `count` cores only, from the `first` on; 0 changes nothing.

    Threads that are made inside stay on these cores: let those who load side by side begin with different ones.
    """
    allowed = os.sched_getaffinity(0)
    turn = sorted(allowed)
    if count:
        os.sched_setaffinity(0, {turn[(first + number) % len(turn)] for number in range(count)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
