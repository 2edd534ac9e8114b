"""Runs a coroutine in time that does not pass by itself: whenever all wait, the clock jumps to the next timer.

What is measured is then what the code waits for, to the microsecond, however busy the machine is; and waiting costs
nothing. For code without sockets and threads, for which no clock could wait.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Passes the time until the next timer instead of waiting for it."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("all wait, and no timer is set")
        ready = super().select(0)
        if not ready:
            self.now_s += timeout
        return ready


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a loop whose clock, and `time.monotonic()`, only know such time."""
    with asyncio.Runner(loop_factory=_VirtualTimeLoop) as runner, patch("time.monotonic", runner.get_loop().time):
        return runner.run(main)
