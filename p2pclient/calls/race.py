"""A race: an attempt runs and, when it is late, others begin beside it; whoever ends the call stops the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from p2pclient.calls.call_state import CallState


class Race:
    """One attempt of a call, in the caller's own task, and `beside()` in another one as soon as it is late.

    Nearly every attempt ends before that, so that a call costs one timer and no task.
    """

    __slots__ = ("_attempt", "_beside", "_running", "_state", "_task")

    def __init__(self, state: CallState[Any], beside: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._state = state
        self._beside = beside
        self._attempt = asyncio.timeout(None)
        self._running = False
        self._task: asyncio.Task[None] | None = None

    async def run(self, attempt: Coroutine[Any, Any, None], late_s: float) -> None:
        """Await the attempt, which is late after `late_s`, until the call is over or nothing is under way."""
        timer = asyncio.get_running_loop().call_later(late_s, self._late)
        try:
            with contextlib.suppress(TimeoutError):  # the attempt was stopped because others have ended the call
                async with self._attempt:
                    self._running = True
                    try:
                        await attempt
                    finally:
                        self._running = False
            timer.cancel()
            if self._task is not None and self._state.asking():
                await self._task
        finally:
            timer.cancel()
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    def _late(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._beside())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Stop the attempt if the call is over; or if `beside` has raised, which `run` raises then."""
        failed = not task.cancelled() and task.exception() is not None
        if self._running and (self._state.over or failed):
            self._attempt.reschedule(asyncio.get_running_loop().time())
