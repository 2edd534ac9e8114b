"""Memory that was freed, given back to the system: what a model held is else kept for the next allocation."""

from __future__ import annotations

import ctypes
import gc
from functools import cache


def give_back() -> None:
    """Collect what only cycles hold, then let the C library return its free pages, where it can (glibc).

    malloc_trim(3): without it freed weights stay resident, and after some swaps a model or two more than serve.
    """
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> ctypes._NamedFuncPointer | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
