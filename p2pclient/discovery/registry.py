"""Step one of a call: a service's name goes to the lookup service, workers in rotation order come back.

    GET /next, /next/{service}      one worker, of the default service or of this one
    ?count=N                        N different workers
    GET /instances/{service}        all workers with their health; ?index=&wait= waits for a change
                                    ?probe: with why the lookup service does not reach them
    GET /services                   names, counts, versions
    GET /tickets/{service}          a ticket for the workers that want one; addresses come with theirs
with `Accept: application/json`. 503: no healthy worker now; 404: no such service. Where there are several
lookup services, the one that answered last is asked first, and the next one if it does not answer. In panic mode the
header `X-Registry-Panic: HEALTHY/TOTAL` goes with the answers. A worker to which no request can be sent is left out.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from yarl import URL

from p2pclient.bounds import COUNT_AT_MOST, INDEX_AT_MOST, WEIGHT_AT_MOST, decimal, whole_number
from p2pclient.discovery.base import Listing
from p2pclient.discovery.failover import Failover, denied, unreachable
from p2pclient.discovery.health_filter import HealthFilter
from p2pclient.discovery.rollout import read_told
from p2pclient.discovery.service_notices import ServiceNotices
from p2pclient.discovery.tickets import HandedTicket, Tickets, read_handed
from p2pclient.discovery.usability import NAME_CHARACTERS_AT_MOST, auth_of, scheme_of, why_unusable
from p2pclient.errors import AuthenticationError, LookupUnavailable, NoWorker, P2PError, UnknownService
from p2pclient.failures import Failure, Trouble
from p2pclient.messages import MALFORMED, Answer, bearer, unlike
from p2pclient.transport.base import Transport
from p2pclient.types import Panic, Rollout, Service, UnusableWorker, Worker

WAIT_S = 30

_HINT = "is the address right?"

_UNKNOWN = re.compile("no (such )?service", re.IGNORECASE)
"""What a lookup service says of a service that it does not know; other servers have other sentences for 404."""

_NO_TICKETS = re.compile("signs no tickets", re.IGNORECASE)

ENOUGH = 16
"""How many workers are asked for where the one whose turn it is cannot be asked."""

PANIC = "X-Registry-Panic"
"""The header that says that fewer than half of a service's workers are healthy: HEALTHY/TOTAL."""


class RegistrySource:
    """The lookup services at these base URLs: a `WorkerSource`. `token` goes along as a bearer token."""

    backoff_max_s = 5.0

    def __init__(self, transport: Transport, urls: Sequence[URL], *, token: str | None = None) -> None:
        headers = {"Accept": "application/json"} | bearer(token)
        # In random order, so that many clients spread over all of them.
        self._servers = Failover(transport, random.sample(urls, len(urls)), headers, lookup_refusal)
        self._default: str | None = None
        self._filters: dict[str, HealthFilter] = {}
        self._notices = ServiceNotices()
        self._tickets = Tickets(self._ticket_of)

    def panic(self, service: str | None) -> Panic | None:
        """How few workers of a service are healthy, if the last answer about it was given in panic mode."""
        return self._notices.panic(service or self._default or "")

    async def next(self, service: str | None, *, count: int | None, limit_s: float) -> list[Worker]:
        """The next worker in rotation or, with `count`, up to that many different ones; never none."""
        workers = await self._next(service, count, limit_s)
        if not workers and count is None:  # the one whose turn it is cannot be asked: others may be there
            workers = await self._next(service, ENOUGH, limit_s)
        return workers

    async def _next(self, service: str | None, count: int | None, limit_s: float) -> list[Worker]:
        """Those of the workers in one answer that can be asked; raises Failure if none of `count` can."""
        path = "/next" if service is None else f"/next/{quote(service, safe='')}"
        query = "" if count is None else f"?count={count}"
        answer, base = await self._servers.ask(f"{path}{query}", limit_s=limit_s)
        try:
            found = answer.json()
            entries = [found] if count is None else found
            workers, unusable = _workers(entries)
            lifetimes = _ticket_lifetimes(entries)
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, unlike_lookup(answer, base)) from error
        for worker in workers:
            if worker.ticket is not None:
                self._tickets.note(worker, lifetimes[worker.id])
        if workers:
            self._default = workers[0].service if service is None else self._default
            self._notices.note_panic(service or workers[0].service, _panic(answer))
        elif count is not None:
            why = f"no request can be sent to the worker that it names: {unusable[0].reason}" if unusable else _HINT
            raise Failure(Trouble.FINAL, unlike("a lookup service", answer, base, hint=why))
        return workers

    async def listing(self, service: str | None, *, after: Listing | None, limit_s: float) -> Listing:
        """All workers: at once without `after`, else when there was a change since, or after half a minute."""
        if service is None and self._default is None:  # only a worker tells what the default service is called
            await self.next(None, count=None, limit_s=limit_s)
        name, index = service or self._default or "", 0 if after is None else after.index
        query = f"?index={index}&wait={WAIT_S}s" if index else ""
        # The lookup service adds a little to the wait, and the answer needs its time, too.
        limit_s = WAIT_S + limit_s if index else limit_s
        path = f"/instances/{quote(name, safe='')}{query}"
        answer, base = await self._servers.ask(path, limit_s=limit_s, waits=bool(index))
        try:
            found = await asyncio.to_thread(_listed, answer) if answer.large else _listed(answer)
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, unlike_lookup(answer, base)) from error
        health = self._filters.setdefault(name, HealthFilter())
        index, workers, unusable, rollout = found
        serving = health.usable(workers)
        panic = _panic(answer) or health.panic
        self._notices.note_panic(name, panic)
        self._notices.note_unusable(name, unusable)
        stale_s = answer.number("X-Registry-Stale")
        return Listing(name, index, tuple(workers), serving, stale_s, panic, tuple(unusable), rollout)

    async def ticket(self, worker: Worker, limit_s: float) -> str:
        """A ticket for a worker: the one that came with its address while that is good, else one of its service."""
        return await self._tickets.ticket(worker, limit_s)

    def refused(self, worker: Worker, ticket: str) -> bool:
        """The worker does not accept this ticket; whether another one may do better."""
        return self._tickets.refused(worker, ticket)

    async def close(self) -> None:
        """Ask for no tickets any more."""
        await self._tickets.close()

    async def _ticket_of(self, service: str, limit_s: float) -> HandedTicket:
        answer, base = await self._servers.ask(f"/tickets/{quote(service, safe='')}", limit_s=limit_s)
        try:
            handed = read_handed(answer.json(), "expires_in_s")
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, unlike_lookup(answer, base)) from error
        if handed is None:
            raise Failure(Trouble.FINAL, unlike_lookup(answer, base))
        return handed

    async def services(self, *, limit_s: float) -> list[Service]:
        """Every service that the lookup service follows."""
        answer, base = await self._servers.ask("/services", limit_s=limit_s)
        try:
            return [_service(entry) for entry in answer.json()]
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, unlike_lookup(answer, base)) from error

    async def unreachable(self, service: str, *, limit_s: float) -> Mapping[str, str]:
        """The workers to which the lookup service cannot connect; an older one does not say."""
        answer, base = await self._servers.ask(f"/instances/{quote(service, safe='')}?probe=1", limit_s=limit_s)
        try:
            found = {str(entry["id"]): entry.get("unreachable") for entry in answer.json()["instances"]}
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, unlike_lookup(answer, base)) from error
        return {worker: str(fault) for worker, fault in found.items() if fault}


def lookup_refusal(answer: Answer, base: str) -> Failure:
    """What an answer other than 200 of the lookup service at `base` means."""
    said = answer.sentence()
    if answer.status == 503:
        no_worker = NoWorker(said or "no worker is healthy just now: start one", status=503)
        return Failure(Trouble.NO_WORKER, no_worker, retry_after_s=answer.retry_after_s)
    if answer.status == 404 and _UNKNOWN.search(said) and not answer.html:  # else it is another server's 404
        return Failure(Trouble.FINAL, UnknownService(said or "no such service", status=404))
    if answer.status == 404 and _NO_TICKETS.search(said):
        signs_none = f"the workers want tickets, and the lookup service at {base} signs none: {said}"
        return Failure(Trouble.FINAL, AuthenticationError(signs_none, status=404))
    if answer.status in (401, 403):
        return denied(f"the lookup service at {base}", answer, hint="give a token that it accepts")
    if answer.status == 429:
        over = LookupUnavailable(f"the lookup service at {base} answered 429: {said}", status=429)
        return Failure(Trouble.NO_LOOKUP, over, retry_after_s=answer.retry_after_s)
    if answer.status >= 500 or answer.status == 408:
        error = unreachable(base, f"it answered {answer.status}: {said}", status=answer.status)
        return Failure(Trouble.NO_LOOKUP, error, retry_after_s=answer.retry_after_s)
    return Failure(Trouble.FINAL, unlike_lookup(answer, base))


def unlike_lookup(answer: Answer, base: str) -> P2PError:
    """The error of an answer that no lookup service gives."""
    return unlike("a lookup service", answer, base, hint=_HINT)


def _listed(answer: Answer) -> tuple[int, list[Worker], list[UnusableWorker], Rollout | None]:
    """The index of a list, its workers, those that cannot be asked, and the split; raises one of MALFORMED."""
    found = answer.json()
    workers, unusable = _workers(found["instances"])
    rollout = read_told(found["rollout"]) if "rollout" in found else None
    return whole_number(found["index"], most=INDEX_AT_MOST), workers, unusable + _left_out(found), rollout


def _workers(entries: Any) -> tuple[list[Worker], list[UnusableWorker]]:
    """The answer's workers, and those that cannot be asked; raises one of MALFORMED if it holds anything else."""
    if not isinstance(entries, list):
        raise TypeError("not a list of workers")
    workers, unusable = [], []
    for entry in entries:
        worker, reason = _worker(entry)
        if reason:
            unusable.append(UnusableWorker(worker.id[:NAME_CHARACTERS_AT_MOST], reason))
        else:
            workers.append(worker)
    return workers, unusable


def _worker(entry: dict[str, Any]) -> tuple[Worker, str]:
    """One worker, and why it cannot be asked; "" if it can. Raises one of MALFORMED."""
    names = ("service", "id", "host", "version", "boot", "health", "output", "scheme", "auth")
    texts = {name: entry[name] if name in names[:3] else entry.get(name, "") for name in names}
    port, weight = entry["port"], entry.get("weight", 1)
    if not all(isinstance(text, str) for text in texts.values()) or type(port) is not int or type(weight) is not int:
        raise TypeError("a field of the wrong type")
    if weight < 0:
        raise ValueError("no such weight")
    weight = min(max(1, weight), WEIGHT_AT_MOST)
    worker = Worker(
        texts["service"], texts["id"], texts["host"], port, texts["version"], texts["boot"], weight,
        texts["health"] or "passing", texts["output"], scheme_of(texts["scheme"]), auth_of(texts["auth"]),
        _ticket(entry),
    )  # fmt: skip
    reason = why_unusable(worker_id=worker.id, host=worker.host, port=port, version=worker.version, boot=worker.boot)
    return worker, reason


def _ticket(entry: dict[str, Any]) -> str | None:
    handed = read_handed(entry, "ticket_expires_in_s")
    return None if handed is None else handed.text


def _ticket_lifetimes(entries: list[dict[str, Any]]) -> dict[str, float]:
    """For how many seconds each worker's ticket is good, by the worker's id."""
    handed = {entry["id"]: read_handed(entry, "ticket_expires_in_s") for entry in entries}
    return {worker_id: each.lifetime_s for worker_id, each in handed.items() if each is not None}


def _left_out(found: dict[str, Any]) -> list[UnusableWorker]:
    """The registrations that the lookup service itself leaves out, with its reasons."""
    entries = [(entry["id"], entry["reason"]) for entry in found.get("unusable", ())]
    if not all(isinstance(text, str) for entry in entries for text in entry):
        raise TypeError("an id and a reason are texts")
    return [UnusableWorker(*entry) for entry in entries]


def _panic(answer: Answer) -> Panic | None:
    """What the header of panic mode says; None without one that can be read."""
    try:
        healthy, total = (decimal(part, most=COUNT_AT_MOST) for part in answer.headers[PANIC].split("/"))
    except (KeyError, ValueError):
        return None
    return Panic(healthy, total)


def _service(entry: dict[str, Any]) -> Service:
    versions = tuple(str(version) for version in entry["versions"])
    return Service(str(entry["name"]), whole_number(entry["instances"]), whole_number(entry["serving"]), versions)
