"""Large bodies are parsed in threads, no more of them at a time than there are places, whoever hangs up."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextlib import suppress

from tests.support.waiting import until
from worker.errors import BadRequest
from worker.web.body_budget import BodyBudget
from worker.web.body_reader import BodyReader
from worker.web.large_json import SMALL_BYTES

LARGE = SMALL_BYTES + 1


class Parsing:
    """Work that goes on until `go` is set, and how much of it was begun."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = 0

    def __call__(self) -> int:
        self.begun += 1
        self.go.wait(20)
        return self.begun


def reader() -> BodyReader:
    return BodyReader(1_000_000, BodyBudget(most_bytes=10_000_000, total_s=20))


async def test_a_caller_that_is_cancelled_keeps_its_thread_until_the_work_ends() -> None:
    """Clients that hang up while their bodies are parsed do not let more than two threads parse at a time."""
    bodies, parsing = reader(), Parsing()
    try:
        gone = [asyncio.create_task(bodies.off_loop(LARGE, parsing)) for _ in range(2)]
        await until(lambda: parsing.begun == 2)
        for task in gone:
            task.cancel()
        waiting = asyncio.create_task(bodies.off_loop(LARGE, parsing))
        done, _ = await asyncio.wait([*gone, waiting], timeout=0.2)
        assert (parsing.begun, len(done)) == (2, 0)
    finally:
        parsing.go.set()
    assert await waiting == 3
    assert all(
        isinstance(result, asyncio.CancelledError) for result in await asyncio.gather(*gone, return_exceptions=True)
    )


async def test_an_error_of_the_work_is_the_callers() -> None:
    """What the work raises in its thread is raised where it was asked for."""

    def fails() -> None:
        raise ValueError("no image")

    raised = None
    with suppress(ValueError):
        raised = await reader().off_loop(LARGE, fails)
    assert raised is None


class Document:
    """What a body was parsed into."""


async def test_an_error_keeps_nothing_of_what_was_parsed() -> None:
    """What was parsed before a body was refused goes at once: the collector would find it in the loop's time."""
    parsed: list[weakref.ref[Document]] = []

    def parse() -> None:
        document = Document()
        parsed.append(weakref.ref(document))
        raise BadRequest("It ends too early.")

    gc.disable()
    try:
        with suppress(BadRequest):
            await reader().off_loop(LARGE, parse)
        await until(lambda: parsed[0]() is None)
    finally:
        gc.enable()
