"""Whoever watches the leader tells those who wait: when it is missed, and when there is one again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from registry.backend.health_answer import HealthAnswer
from registry.consul.errors import ConsulUnavailable
from registry.discovery import watch
from registry.discovery.directory import Directory
from registry.discovery.leader_watch import watch_leader
from registry.discovery.service import Service
from registry.instances.instance import Instance
from tests.support.fakes import FakeCatalog
from tests.support.waiting import until

A = Instance("classify", "a", "127.0.0.1", 9001)


class Consul(FakeCatalog):
    """A catalog whose servers may have lost their leader, or be out of reach altogether."""

    leads = True
    answers = True
    asked = 0
    looked = 0

    async def has_leader(self) -> bool:
        self.looked += 1
        return self.leads and self.answers

    async def health(self, service: str, *, index: int = 0, wait_s: float = 0.0) -> HealthAnswer:
        self.asked += 1
        if not self.answers:
            raise ConsulUnavailable("gone")
        # As Consul does: what it says of the leader is of the time when the question was put.
        led = self.leads
        answer = await super().health(service, index=index, wait_s=wait_s)
        return HealthAnswer(answer.index, answer.instances, known_leader=led)


@asynccontextmanager
async def followed(consul: Consul) -> AsyncIterator[Service]:
    """The service, once its set is known and the next question waits, and somebody watching the leader."""
    async with Directory(consul, default="classify") as directory:  # type: ignore[arg-type]  # a fake
        service = directory.followed("classify")
        assert service is not None
        await until(lambda: consul.asked == 2)
        watching = asyncio.create_task(watch_leader(consul, directory, every_s=0.01))  # type: ignore[arg-type]
        yield service
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_a_lost_leader_is_noticed_while_a_question_waits() -> None:
    """The waiting question is put anew, and its answer marks the set stale, long before the wait is over."""
    consul = Consul(classify=(A,))
    async with followed(consul) as service:
        assert not service.snapshot.stale
        consul.leads = False
        await until(lambda: consul.asked > 2 and service.snapshot.stale, within_s=5)
        assert service.snapshot.eligible == (A,)
        consul.leads = True
        await until(lambda: not service.snapshot.stale, within_s=5)


async def test_a_question_that_waits_is_left_alone_while_there_is_a_leader() -> None:
    """Watching the leader costs no question about any service."""
    consul = Consul(classify=(A,))
    async with followed(consul):
        await until(lambda: consul.looked > 10)
        assert consul.asked == 2


async def test_pauses_end_when_the_leader_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a long outage the set is confirmed as soon as there is a leader, not when the pause has passed."""
    monkeypatch.setattr(watch, "backoff_s", lambda *_: 60.0)
    consul = Consul(classify=(A,))
    async with followed(consul) as service:
        consul.answers = False
        await until(lambda: service.snapshot.stale, within_s=5)
        consul.answers = True
        await until(lambda: not service.snapshot.stale, within_s=5)
