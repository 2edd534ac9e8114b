"""Consul in a lookup service's place: the same questions, asked at an agent's own HTTP API.

    GET /v1/health/service/NAME?stale&index=&wait=      all instances with their checks; waits for a change
    GET /v1/catalog/services?stale                      names and tags
What the answers mean is decided in `health_answer`. How calls are split among versions says a record of each service
(`record_watch`). Consul has no rotation: `next` draws at random (`random_draw`).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

from yarl import URL

from p2pclient.discovery.base import Listing
from p2pclient.discovery.consul.blocking_query import WAIT_S, longest_s, waiting
from p2pclient.discovery.consul.health_answer import HealthAnswer, KnownWorkers, read_health, reconcile
from p2pclient.discovery.consul.random_draw import draw
from p2pclient.discovery.consul.record_watch import RecordWatch
from p2pclient.discovery.failover import Failover, denied, unreachable
from p2pclient.discovery.health_filter import HealthFilter
from p2pclient.discovery.rollout import Record, decide
from p2pclient.discovery.service_notices import ServiceNotices
from p2pclient.errors import AuthenticationError, NoWorker, P2PError, UnknownService
from p2pclient.failures import Failure, Trouble
from p2pclient.messages import MALFORMED, Answer, unlike
from p2pclient.transport.base import Transport
from p2pclient.types import Panic, Service, Worker

DEFAULT_SERVICE = "classify"
TAG = "p2p"
"""The tag of every service that this project's workers registered."""

AT_A_TIME = 16
"""How many services are asked for at the same time: a catalog may hold thousands."""


class ConsulSource:
    """The Consul agents at these base URLs: a `WorkerSource`. `token` is an ACL token, sent to them alone."""

    backoff_max_s = 30.0

    def __init__(self, transport: Transport, urls: Sequence[URL], *, token: str | None = None) -> None:
        headers = {} if token is None else {"X-Consul-Token": token}
        self._servers = Failover(transport, random.sample(urls, len(urls)), headers, _refusal)
        self._known: dict[str, KnownWorkers] = {}
        self._filters: dict[str, HealthFilter] = {}
        self._named: set[str] = set()
        self._notices = ServiceNotices()
        self._watches: dict[str, RecordWatch] = {}
        self._chance = random.Random()

    def panic(self, service: str | None) -> Panic | None:
        """How few workers of a service are healthy, if the last answer about it was given in panic mode."""
        return self._notices.panic(service or DEFAULT_SERVICE)

    async def next(self, service: str | None, *, count: int | None, limit_s: float) -> list[Worker]:
        """A healthy worker drawn at random or, with `count`, up to that many different ones; never none.

        The record of the split is followed from the first time on, so that no question about it is part of a lookup.
        """
        until_s = time.monotonic() + limit_s
        listing = await self._named_workers(service or DEFAULT_SERVICE, index=0, limit_s=limit_s)
        if not listing.workers:
            raise Failure(Trouble.NO_WORKER, NoWorker(_unnamed(listing.service)), retry_after_s=1.0)
        if not listing.serving:
            raise Failure(Trouble.NO_WORKER, NoWorker(f"No worker of {listing.service} is healthy."), retry_after_s=1.0)
        record = await self._watch(listing.service).followed(limit_s=until_s - time.monotonic())
        return draw(listing.serving, _spread(listing, record).split, count or 1, chance=self._chance)

    async def listing(self, service: str | None, *, after: Listing | None, limit_s: float) -> Listing:
        """All workers: at once without `after`, else when they or the split have changed since, or after a minute.

        A service of which Consul has never named a worker is unknown: its name is wrong, most likely.
        """
        if after is not None:
            return await self._changed(after, limit_s)
        until_s = time.monotonic() + limit_s
        listing = await self._named_workers(service or DEFAULT_SERVICE, index=0, limit_s=limit_s)
        record = await self._watch(listing.service).read(limit_s=until_s - time.monotonic())
        return _spread(listing, record)

    async def _changed(self, after: Listing, limit_s: float) -> Listing:
        """The next list after one: as soon as either the workers or the split are no longer those of it."""
        watch = self._watch(after.service)
        watch.follow()
        workers = asyncio.ensure_future(self._named_workers(after.service, index=after.index, limit_s=limit_s))
        other_split = asyncio.ensure_future(watch.until(lambda record: _spread(after, record) != after))
        try:
            await asyncio.wait((workers, other_split), return_when=asyncio.FIRST_COMPLETED)
            return _spread(workers.result() if workers.done() else after, watch.record)
        finally:
            workers.cancel()
            other_split.cancel()
            await asyncio.gather(workers, other_split, return_exceptions=True)

    def _watch(self, name: str) -> RecordWatch:
        """What follows the record of a service: one that Consul has named, so that a mistyped name is not followed."""
        if name not in self._watches:
            self._watches[name] = RecordWatch(self._servers, name)
        return self._watches[name]

    async def _named_workers(self, name: str, *, index: int, limit_s: float) -> Listing:
        """All workers, without the split; raises Failure for a service of which Consul has never named one."""
        listing = await self._listing(name, index=index, limit_s=limit_s)
        if listing.workers:
            self._named.add(name)
        elif name not in self._named:
            raise Failure(Trouble.UNKNOWN, UnknownService(_unnamed(name)), retry_after_s=1.0)
        return listing

    async def _listing(self, name: str, *, index: int, limit_s: float) -> Listing:
        known, wait_s = self._known.get(name, KnownWorkers()), WAIT_S
        if known.held_until_s is not None:  # Consul is asked again when the grace time is over
            wait_s = min(WAIT_S, max(0.1, known.held_until_s - time.monotonic()))
        limit_s += longest_s(index, wait_s)
        path = f"/v1/health/service/{quote(name, safe='')}?stale{waiting(index, wait_s)}"
        answer, base = await self._servers.ask(path, limit_s=limit_s, waits=bool(index))
        try:
            said = await asyncio.to_thread(_said, answer) if answer.large else _said(answer)
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, _unlike(answer, base)) from error
        known = reconcile(self._known.get(name, KnownWorkers()), said, now_s=time.monotonic())
        self._known[name] = known
        health = self._filters.setdefault(name, HealthFilter())
        serving = health.usable(known.workers)
        self._notices.note_panic(name, health.panic)
        self._notices.note_unusable(name, said.unusable)
        stale_s = answer.number("X-Consul-LastContact") / 1000
        return Listing(name, known.index, known.workers, serving, stale_s, health.panic, said.unusable)

    async def ticket(self, worker: Worker, limit_s: float) -> str:
        """Always raises Failure: Consul signs no tickets."""
        sentence = (
            f"the workers of {worker.service} want tickets, which only a lookup service signs: give the address of one "
            "that was started with --ticket-keys, in place of Consul's"
        )
        raise Failure(Trouble.FINAL, AuthenticationError(sentence, worker=worker.address))

    def refused(self, worker: Worker, ticket: str) -> bool:
        """There are no tickets to refuse."""
        return False

    async def close(self) -> None:
        """Follow no record any more."""
        await asyncio.gather(*(watch.close() for watch in self._watches.values()))

    async def services(self, *, limit_s: float) -> list[Service]:
        """Every service with the tag that this project's workers carry."""
        answer, base = await self._servers.ask("/v1/catalog/services?stale", limit_s=limit_s)
        try:
            names = sorted(name for name, tags in answer.json().items() if TAG in tags)
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, _unlike(answer, base)) from error
        free = asyncio.Semaphore(AT_A_TIME)

        async def summary(name: str) -> Service:
            async with free:
                return _summary(await self._listing(name, index=0, limit_s=limit_s))

        return list(await asyncio.gather(*map(summary, names)))

    async def unreachable(self, service: str, *, limit_s: float) -> Mapping[str, str]:
        """Nothing: there is no lookup service, and this process itself connects to the workers."""
        return {}


def _spread(listing: Listing, record: Record) -> Listing:
    """The list with what a record says of it."""
    return replace(listing, rollout=decide(record, listing.workers, listing.serving))


def _said(answer: Answer) -> HealthAnswer:
    return read_health(answer.headers, answer.json())


def _unnamed(service: str) -> str:
    return f"Consul knows no service {service}: is a worker registered, may the token read it?"


def _summary(listing: Listing) -> Service:
    serving = sum(worker.healthy for worker in listing.workers)
    versions = sorted({worker.version for worker in listing.workers if worker.version})
    return Service(listing.service, len(listing.workers), serving, tuple(versions))


def _refusal(answer: Answer, base: str) -> Failure:
    if answer.status in (401, 403):
        return denied(f"Consul at {base}", answer, hint="give a token with service:read and node:read")
    if answer.status >= 500 or answer.status in (408, 429):
        error = unreachable(base, f"Consul answered {answer.status}: {answer.sentence()}", status=answer.status)
        return Failure(Trouble.NO_LOOKUP, error, retry_after_s=answer.retry_after_s)
    return Failure(Trouble.FINAL, _unlike(answer, base))


def _unlike(answer: Answer, base: str) -> P2PError:
    return unlike("Consul", answer, base, hint="is the address right?")
