"""A race: an attempt runs and, when it is late, others begin beside it; the one that ends the call stops the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from p2pclient.calls.call_state import CallState
from p2pclient.concurrency.interruption import Interruption


class Race:
    """One attempt of a call, in the caller's own task, and `beside()` in another one as soon as it is late.

    Nearly every attempt ends before that, so that a call costs one timer and no task.
    """

    __slots__ = ("_attempt", "_beside", "_rivals", "_state")

    def __init__(self, state: CallState[Any], beside: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._state = state
        self._beside = beside
        self._rivals: asyncio.Task[None] | None = None
        self._attempt: Interruption | None = None  # while it runs

    async def run(self, attempt: Coroutine[Any, Any, None], late_s: float) -> None:
        """Await the attempt, which is late after `late_s`, until the call is over or nothing is under way."""
        interruption = self._attempt = Interruption()
        timer = interruption.loop.call_later(late_s, self._late)
        try:
            try:
                await attempt
            except asyncio.CancelledError:
                if not interruption.ended():
                    raise  # the caller has been cancelled
            finally:
                self._attempt = None
                timer.cancel()
            if self._rivals is not None and self._state.asking():
                await self._rivals
        finally:
            if self._rivals is not None:
                self._rivals.cancel()
                await asyncio.gather(self._rivals, return_exceptions=True)

    def _late(self) -> None:
        self._rivals = asyncio.get_running_loop().create_task(self._beside())
        self._rivals.add_done_callback(self._ended)

    def _ended(self, rivals: asyncio.Task[None]) -> None:
        """Stop the attempt if the call is over; or if `beside` has raised, which `run` raises then."""
        failed = not rivals.cancelled() and rivals.exception() is not None
        if self._attempt is not None and (self._state.over or failed):
            self._attempt.stop()
