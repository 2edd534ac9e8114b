"""Ends a child process when its parent dies, even where the parent is killed and cannot stop the child itself."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals, *, parent: int | None = None) -> Callable[[], None] | None:
    """A `preexec_fn`: the kernel sends the child `number` when the thread that started it ends.

    A child that runs our own Python code may instead call the result itself, with the id of its `parent`: a process
    without a `preexec_fn` starts faster.

    Linux only (prctl(2), PR_SET_PDEATHSIG); None elsewhere. Holds for the child itself, not for what it starts.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid() if parent is None else parent
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # loaded here: the child must not import after the fork

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent died before prctl was called
            os._exit(1)

    return in_child
