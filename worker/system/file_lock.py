"""A lock on a file, held by one process of the machine at a time; the system releases it when its holder dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_RETRY_S = 0.05  # flock(2) takes no timeout, so it is tried again and again


@contextmanager
def file_lock(file: Path, *, within_s: float | None = None) -> Iterator[bool]:
    """Hold the lock on `file`, which is created if it is missing; wait for it, at most `within_s` if that is given.

    Yields whether the lock is held: False where another process has held it for all that time. Raises OSError.
    """
    with open(file, "w") as lock:
        yield _locked(lock, within_s)


def _locked(lock: IO[str], within_s: float | None) -> bool:
    if within_s is None:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return True
    end_s = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end_s:
                return False
            time.sleep(_RETRY_S)
        else:
            return True
