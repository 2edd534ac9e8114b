"""Ends a process in time, even where a thread of it hangs."""

from __future__ import annotations

import os
import threading

END_S = 5.0
"""How long a worker that has stopped serving waits for threads that still compute."""


def end_in_time(code: int, *, within_s: float = END_S) -> None:
    """End this process with exit code `code` after `within_s` seconds, unless it has ended by then.

    Python waits for every thread of an executor at its end; a thread that hangs in an engine would keep it for ever.
    """
    timer = threading.Timer(within_s, os._exit, (code,))
    timer.daemon = True
    timer.start()
