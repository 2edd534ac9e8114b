"""What the event log writes, keeps and tells those who wait."""

from __future__ import annotations

import asyncio
import logging

import pytest

from registry.events.event import Event, Kind
from registry.events.event_log import KEPT, LINES_AT_ONCE, EventLog


def events(count: int) -> list[Event]:
    return [Event(Kind.JOINED, f"Worker {number} has joined.", "classify", str(number)) for number in range(count)]


async def test_events_are_numbered_and_the_last_thousand_are_kept() -> None:
    """Numbers go on, so that a reader who was away sees that something is missing."""
    log = EventLog(clock=lambda: 1_700_000_000.5)
    log.record(events(KEPT + 5))
    kept = log.after(0)
    assert (len(kept), kept[0].number, log.last) == (KEPT, 6, KEPT + 5)
    assert [each.number for each in log.after(KEPT + 3)] == [KEPT + 4, KEPT + 5]
    assert kept[0].as_json() == {
        "number": 6,
        "at": 1_700_000_000.5,
        "time": "2023-11-14T22:13:20.500+00:00",
        "kind": "joined",
        "service": "classify",
        "worker": "5",
        "address": "",
        "version": "",
        "text": "Worker 5 has joined.",
    }


async def test_each_event_is_one_line_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    """The line is the sentence; a worker that fails is a warning. Of many at once only some are written."""
    caplog.set_level(logging.INFO)
    log = EventLog()
    log.record([Event(Kind.CRITICAL, "It is critical.", "classify", "a", "10.0.0.1:9001")])
    (line,) = caplog.records
    fields = {"event": "critical", "service": "classify", "worker": "a", "address": "10.0.0.1:9001"}
    assert (line.levelno, line.getMessage(), line.__dict__["fields"]) == (logging.WARNING, "It is critical.", fields)
    caplog.clear()
    log.record(events(500))
    assert len(caplog.records) == LINES_AT_ONCE + 1
    assert caplog.messages[-1] == "480 more events: /events lists them."
    assert log.last == 501


async def test_a_reader_waits_until_there_is_more_or_the_log_ends() -> None:
    """A reader that is behind does not wait at all."""
    log = EventLog()
    waiting = asyncio.create_task(log.wait_after(0, timeout_s=60))
    await asyncio.sleep(0)
    log.record(events(1))
    await waiting
    await log.wait_after(0, timeout_s=60)
    waiting = asyncio.create_task(log.wait_after(1, timeout_s=60))
    await asyncio.sleep(0)
    assert not waiting.done()
    log.end()
    await waiting
    await log.wait_after(1, timeout_s=60)
