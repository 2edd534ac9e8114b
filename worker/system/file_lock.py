"""One process of a machine after the other: a lock on a file, which the system takes back from one that dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LOOK_S = 0.05  # flock(2) has no limit of its own, so it is tried again and again


@contextmanager
def alone(file: Path, *, within_s: float | None = None) -> Iterator[bool]:
    """Hold the lock `file`, which is made where it is not there; wait for it, at most `within_s` if that is given.

    Gives whether it is held: False where another has held it for all that time. Raises OSError.
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
            time.sleep(_LOOK_S)
        else:
            return True
