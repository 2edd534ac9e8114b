"""What a process holds for good, and what it gives back when a model has gone.

Python's collector stops all threads while it looks through everything for cycles; with TensorFlow imported that
takes a fifth of a second, and loading a model sets it off. So what a framework's import made is set apart first.
"""

from __future__ import annotations

import ctypes
import gc
from functools import cache


@cache
def settle() -> None:
    """Set all that exists apart from what the collector looks at; once a process, before its first model.

    Call it when the framework is imported and no model is loaded yet: what is set apart and ends up in a cycle is
    never freed. gc.freeze().
    """
    gc.collect()
    gc.freeze()


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
