"""Which of several coroutines finished first."""

from __future__ import annotations

import asyncio

import pytest

from registry.runtime.tasks.race import finishes_first


async def never() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    return


async def fails() -> None:
    raise OSError("broken")


async def test_work_that_is_done_first_has_won() -> None:
    """True where the work finished and nothing else did."""
    assert await finishes_first(at_once(), never())


async def test_an_end_that_comes_first_cancels_the_work() -> None:
    """False where an event came first, and also where both came at the same moment."""
    assert not await finishes_first(never(), at_once())
    assert not await finishes_first(at_once(), at_once())


async def test_the_time_limit_cancels_the_work() -> None:
    """False where nothing finished in time."""
    assert not await finishes_first(never(), timeout_s=0.001)


async def test_an_error_of_the_work_is_raised() -> None:
    """What the work raised is not lost."""
    with pytest.raises(OSError, match="broken"):
        await finishes_first(fails(), never())
