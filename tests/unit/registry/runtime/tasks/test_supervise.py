"""Background tasks: what must hold when the body of one raises."""

from __future__ import annotations

import asyncio
import logging

import pytest

from registry.runtime.tasks import backoff
from registry.runtime.tasks.supervise import supervise, supervised
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)


async def test_a_task_whose_body_raises_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """The exception is logged with its traceback and the task's name, and the body runs again."""
    runs = 0

    async def body() -> None:
        nonlocal runs
        runs += 1
        if runs < 4:
            raise RecursionError("too deep")
        await asyncio.Event().wait()

    async with supervised("follow classify", body):
        await until(lambda: runs == 4)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 3
    assert all("follow classify" in record.getMessage() and record.exc_info for record in errors)


async def test_a_body_that_returns_ends_the_task() -> None:
    """What is done is not done again."""
    runs = 0

    async def body() -> None:
        nonlocal runs
        runs += 1

    await supervise("once", body)
    assert runs == 1


async def test_leaving_the_context_cancels_the_body() -> None:
    """No background task outlives the context that started it, whether it works or waits to run again."""
    cancelled = asyncio.Event()

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with supervised("wait", body):
        await asyncio.sleep(0)
    assert cancelled.is_set()
