"""Memory of the process: freed memory that malloc keeps, memory that goes back, and objects exempt from collection.

Bodies and pictures have sizes that glibc by default gets from the kernel and returns to it one by one, so each
request pays for hundreds of page faults: more than half of what receiving 1 MB costs. Python's garbage collector stops
all threads while it looks through every object for cycles. With TensorFlow imported that takes a fifth of a second,
and loading a model starts it; so the objects that a framework's import made are exempt (docs/decisions/0007-swaps.md).
"""

from __future__ import annotations

import ctypes
import gc
import logging
from functools import cache

_log = logging.getLogger(__name__)

# mallopt(3); setting a value also ends malloc's own adjusting of it.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

KEPT_BYTES = 64 << 20
"""Free memory at the end of a heap up to this size stays with the process."""

FROM_HEAP_BYTES = 32 << 20
"""Blocks up to this size come from a heap; it is the largest value that mallopt takes."""


def keep_freed_memory() -> None:
    """Let malloc keep what is freed; without effect, and without harm, where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        _log.debug("The C library is not glibc: malloc keeps its defaults.")
        return
    mallopt(_M_MMAP_THRESHOLD, FROM_HEAP_BYTES)
    mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


@cache
def freeze_heap() -> None:
    """Exempt all objects that exist now from garbage collection (gc.freeze); later calls do nothing.

    Call it when the framework is imported and before the first model is loaded: an exempt object that becomes part of
    a cycle is never freed.
    """
    gc.collect()
    gc.freeze()


def release_memory() -> None:
    """Collect garbage, then let the C library return its free pages to the kernel, where it can (glibc).

    malloc_trim(3): without it freed weights stay resident, and after some swaps the process holds the memory of one
    or two models more than it serves.
    """
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> ctypes._NamedFuncPointer | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
