"""Memory of the process: freed memory that malloc keeps, memory that goes back, and objects exempt from collection.

Bodies and pictures have sizes that glibc by default gets from the kernel and returns to it one by one, so each
request pays for hundreds of page faults: more than half of what receiving 1 MB costs. Python's garbage collector stops
all threads while it looks through every object for cycles. With TensorFlow imported that takes a fifth of a second,
and loading a model starts it; so the objects that a framework's import made are exempt (docs/decisions/0007-swaps.md).
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
from functools import cache
from pathlib import Path

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


FREE_AT_MOST_BYTES = 256 << 20
"""Free memory in all heaps together that stays with the process for long; more of it goes back to the kernel."""

REGROWN_BYTES = 64 << 20
"""By so much the resident memory must have grown since the last time: what is free still counts as free afterwards."""

LOOK_EVERY_S = 5.0


async def return_freed_memory() -> None:
    """Give memory back to the kernel whenever too much of it is free; without effect where malloc is not glibc's.

    Each thread takes large blocks from heaps of its own. Bodies of 30 MB that wander through the threads leave many
    heaps with little in them, far more than was ever in use at a time (1.4 GB after bodies of 240 MB).
    """
    left_bytes = resident_bytes()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        left_bytes = min(left_bytes, resident_bytes())
        if resident_bytes() - left_bytes >= REGROWN_BYTES and free_bytes() >= FREE_AT_MOST_BYTES:
            await asyncio.to_thread(_trim)
            left_bytes = resident_bytes()


def resident_bytes() -> int:
    """The memory that the process occupies; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def free_bytes() -> int:
    """The bytes in malloc's heaps that nothing uses, given back to the kernel or not; 0 where that is not known."""
    ask = _mallinfo()
    return int(ask().free) if ask is not None else 0


class _MallocInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and later (mallinfo(3)); `free` is its fordblks."""

    _fields_ = [(name, ctypes.c_size_t) for name in (*(f"field{number}" for number in range(8)), "free", "top")]


@cache
def _mallinfo() -> ctypes._NamedFuncPointer | None:
    found: ctypes._NamedFuncPointer | None = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if found is not None:
        found.restype = _MallocInfo
    return found


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
    _trim()


def _trim() -> None:
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> ctypes._NamedFuncPointer | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
