"""The time of one call: how much of it is spent, and how much is left."""

from __future__ import annotations

import time


class Deadline:
    """The moment, `total_s` seconds from now, at which a call must have ended."""

    __slots__ = ("_began_s", "_end_s")

    def __init__(self, total_s: float) -> None:
        self._began_s = time.monotonic()
        self._end_s = self._began_s + total_s

    @property
    def spent_s(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self._began_s

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._end_s - time.monotonic()
