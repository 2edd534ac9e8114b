"""A heavy, rare piece of work -> done in a process of its own, so that what it loads is gone when it is done.

Exporting and choosing need TensorFlow: 5 s to import, half a gigabyte of memory, and minutes of other threads'
patience in all. A worker that serves meanwhile, or afterwards with another engine, should notice none of it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import ParamSpec, TypeVar

from worker.errors import ModelError

_GENTLY = 5
"""How much nicer the process is than this one: what is served meanwhile goes first."""


P = ParamSpec("P")
T = TypeVar("T")


def in_child(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, or raises, in a new process; blocks until then. All of it must be picklable.

    Raises ModelError if the process dies of itself.
    """
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin) as pool:
            return pool.submit(work, *args, **kwargs).result()
    except BrokenProcessPool as error:
        raise ModelError(
            "The process that prepared the model was killed, or crashed: is there memory enough for it?"
        ) from error


def _begin() -> None:
    """Ctrl-C is for the parent to act on; when the parent is gone, so is this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_GENTLY)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
