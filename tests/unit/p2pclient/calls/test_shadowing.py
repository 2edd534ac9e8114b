"""Copies of calls for a shadow: sampled, bounded, sent once, and without any effect on the caller."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from p2pclient.balancing.balancer import Balancer
from p2pclient.calls import shadowing
from p2pclient.calls.pauses import Pauses
from p2pclient.calls.service_channel import ServiceChannel
from p2pclient.calls.shadowing import COPIES_AT_MOST, HEADER, Shadowing
from p2pclient.discovery.base import Listing
from p2pclient.errors import WorkerFailed
from p2pclient.failures import Failure, Trouble
from p2pclient.messages import Request
from p2pclient.types import Label, Rollout, Worker

OLD, NEW = (Worker("flowers", v, "127.0.0.1", 9000, v) for v in ("3", "4"))
REQUEST = Request("/?top=5", {"Accept": "application/json"}, b"an image", {})


class Workers:
    """A WorkerClient in whose place `behave` stands; `sent` are the copies, with their headers."""

    def __init__(self) -> None:
        self.sent: list[tuple[Worker, str]] = []
        self.behave: Callable[[], Any] = lambda: None
        self.held = asyncio.Event()
        self.held.set()

    async def post(self, worker: Worker, request: Request, read: object, timeout_s: float) -> object:
        self.sent.append((worker, request.headers[HEADER]))
        await self.held.wait()
        return self.behave()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadowing, "DELAY_S", 0.0)


def channel(shadows: dict[str, float], *workers: Worker) -> ServiceChannel:
    found = ServiceChannel(None, "flowers", Balancer(), Pauses())  # type: ignore[arg-type]  # nobody is asked
    listing = Listing("flowers", 1, workers, workers, rollout=Rollout({"3": 1}, shadows, {"3": 1}))
    assert found.subscription is not None
    found.subscription.listing = listing
    found._replace(listing)
    return found


def shadowing_over(workers: Workers) -> Shadowing:
    return Shadowing(workers, chance=random.Random(1))  # type: ignore[arg-type]


async def finished(shadow: Shadowing) -> None:
    while shadow._under_way:
        await asyncio.gather(*shadow._under_way)


async def test_the_share_of_copies_is_what_is_asked_for() -> None:
    workers, it = Workers(), channel({"4": 5.0}, OLD, NEW)
    shadow = shadowing_over(workers)
    for _ in range(2000):
        shadow.offer(it, OLD, lambda _: REQUEST, Label("tabby cat; ä", 0.25))
        await finished(shadow)
    assert 80 <= len(workers.sent) <= 120  # of known dice
    assert set(workers.sent) == {(NEW, "best=tabby%20cat%3B%20%C3%A4;score=0.25;dropped=0")}
    assert shadow.dropped == 0


async def test_nothing_is_copied_to_the_version_that_answered_or_to_one_without_workers() -> None:
    workers = Workers()
    shadow = shadowing_over(workers)
    shadow.offer(channel({"4": 100.0}, OLD, NEW), NEW, lambda _: REQUEST, None)
    shadow.offer(channel({"4": 100.0}, OLD), OLD, lambda _: REQUEST, None)
    shadow.offer(channel({}, OLD, NEW), OLD, lambda _: REQUEST, None)
    await finished(shadow)
    assert workers.sent == []


async def test_copies_beyond_the_bound_are_dropped_and_reported() -> None:
    workers, it = Workers(), channel({"4": 100.0}, OLD, NEW)
    shadow = shadowing_over(workers)
    workers.held.clear()
    for _ in range(COPIES_AT_MOST + 3):
        shadow.offer(it, OLD, lambda _: REQUEST, None)
    workers.held.set()
    await finished(shadow)
    # The first one that is sent after copies were dropped says how many they were.
    assert sorted(said for _, said in workers.sent) == ["dropped=0"] * (COPIES_AT_MOST - 1) + ["dropped=3"]
    assert shadow.dropped == 0


async def test_large_bodies_are_dropped_beyond_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadowing, "BYTES_AT_MOST", 2 * len(REQUEST.body))
    workers, it = Workers(), channel({"4": 100.0}, OLD, NEW)
    shadow = shadowing_over(workers)
    for _ in range(3):
        shadow.offer(it, OLD, lambda _: REQUEST, None)
    await finished(shadow)
    assert len(workers.sent) == 2
    shadow.offer(it, OLD, lambda _: REQUEST, None)  # their memory is free again
    await finished(shadow)
    assert len(workers.sent) == 3


@pytest.mark.parametrize(
    "error",
    [Failure(Trouble.FAILED, WorkerFailed("it is broken")), WorkerFailed("closed"), RuntimeError("a bug of ours")],
)
async def test_a_copy_that_fails_is_not_sent_again(error: Exception) -> None:
    """What was to be reported with it is reported with the next one."""
    workers, it = Workers(), channel({"4": 100.0}, OLD, NEW)

    def fail() -> None:
        raise error

    workers.behave = fail
    shadow = shadowing_over(workers)
    shadow.dropped = 2
    shadow.offer(it, OLD, lambda _: REQUEST, None)
    await finished(shadow)
    assert [said for _, said in workers.sent] == ["dropped=2"]
    assert shadow.dropped == 2


async def test_closing_gives_copies_up() -> None:
    workers, it = Workers(), channel({"4": 100.0}, OLD, NEW)
    workers.held.clear()
    shadow = shadowing_over(workers)
    shadow.offer(it, OLD, lambda _: REQUEST, None)
    await asyncio.sleep(0)
    await shadow.close()
    assert shadow._under_way == set()
