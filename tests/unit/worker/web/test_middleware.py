"""What is left of a request that failed."""

from __future__ import annotations

import asyncio
import gc
import weakref

from worker.errors import BadRequest
from worker.web.middleware import forget_frames


class Body:
    """Stands for the bytes of a request."""


async def test_an_error_that_is_answered_keeps_no_body() -> None:
    """Functions that awaited a failed future hold it, and its error holds them; their bodies go all the same."""
    gone: list[weakref.ref[Body]] = []

    async def read() -> None:
        body = Body()
        gone.append(weakref.ref(body))
        parsed = asyncio.get_running_loop().create_future()
        parsed.set_exception(ValueError("not an image"))
        await parsed

    async def handle() -> None:
        body = Body()
        gone.append(weakref.ref(body))
        try:
            await read()
        except ValueError as error:
            raise BadRequest("Send an image.") from error

    gc.disable()
    try:
        try:
            await handle()
        except BadRequest as error:
            forget_frames(error)
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()


def test_errors_that_cause_each_other_are_forgotten_once() -> None:
    """A chain that leads back to its beginning ends."""
    first, second = ValueError(), ValueError()
    first.__context__, second.__context__ = second, first
    forget_frames(first)
