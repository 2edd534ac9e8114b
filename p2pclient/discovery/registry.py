"""Step one of a call: a service's name goes to the lookup service, workers in rotation order come back.

    GET /next, /next/{service}      one worker, of the default service or of this one
    ?count=N                        N different workers
    GET /instances/{service}        all workers with their health; ?index=&wait= waits for a change
    GET /services                   names, counts, versions
with `Accept: application/json`. 503: no healthy worker now; 404: no such service. Where there are several
lookup services, the one that answered last is asked first, and the next one if it does not answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from yarl import URL

from p2pclient.discovery.base import Listing
from p2pclient.discovery.failover import Failover, denied, unreachable
from p2pclient.discovery.health_filter import HealthFilter
from p2pclient.errors import NoWorker, P2PError, UnknownService
from p2pclient.failures import Failure, Trouble
from p2pclient.messages import MALFORMED, Answer, bearer, unlike
from p2pclient.transport.base import Transport
from p2pclient.types import Service, Worker

WAIT_S = 30


class RegistrySource:
    """The lookup services at these base URLs: a `WorkerSource`. `token` goes along as a bearer token."""

    backoff_max_s = 5.0

    def __init__(self, transport: Transport, urls: Sequence[URL], *, token: str | None = None) -> None:
        headers = {"Accept": "application/json"} | bearer(token)
        # In random order, so that many clients spread over all of them.
        self._servers = Failover(transport, random.sample(urls, len(urls)), headers, _refusal)
        self._default: str | None = None
        self._filters: dict[str, HealthFilter] = {}

    async def next(self, service: str | None, *, count: int | None, limit_s: float) -> list[Worker]:
        """The next worker in rotation or, with `count`, up to that many different ones; never none."""
        path = "/next" if service is None else f"/next/{quote(service, safe='')}"
        query = "" if count is None else f"?count={count}"
        answer, base = await self._servers.ask(f"{path}{query}", limit_s=limit_s)
        try:
            workers = _workers(answer.json(), many=count is not None)
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, _unlike(answer, base)) from error
        if service is None:
            self._default = workers[0].service
        return workers

    async def listing(self, service: str | None, *, index: int, limit_s: float) -> Listing:
        """All workers: at once for index 0, else when there was a change, or after half a minute."""
        if service is None and self._default is None:  # only a worker tells what the default service is called
            await self.next(None, count=None, limit_s=limit_s)
        name = service or self._default or ""
        query = f"?index={index}&wait={WAIT_S}s" if index else ""
        # The lookup service adds a little to the wait, and the answer needs its time, too.
        limit_s = WAIT_S + limit_s if index else limit_s
        path = f"/instances/{quote(name, safe='')}{query}"
        answer, base = await self._servers.ask(path, limit_s=limit_s, waits=bool(index))
        try:
            found = answer.json()
            workers = tuple(_worker(entry) for entry in found["instances"])
            index = int(found["index"])
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, _unlike(answer, base)) from error
        serving = self._filters.setdefault(name, HealthFilter()).usable(workers)
        return Listing(name, index, workers, serving, answer.number("X-Registry-Stale"))

    async def services(self, *, limit_s: float) -> list[Service]:
        """Every service that the lookup service follows."""
        answer, base = await self._servers.ask("/services", limit_s=limit_s)
        try:
            return [_service(entry) for entry in answer.json()]
        except MALFORMED as error:
            raise Failure(Trouble.FINAL, _unlike(answer, base)) from error


def _refusal(answer: Answer, base: str) -> Failure:
    said = answer.sentence()
    if answer.status == 503:
        no_worker = NoWorker(said or "no worker is healthy just now: start one", status=503)
        return Failure(Trouble.NO_WORKER, no_worker, retry_after_s=answer.retry_after_s)
    if answer.status == 404 and not answer.html:
        return Failure(Trouble.FINAL, UnknownService(said or "no such service", status=404))
    if answer.status in (401, 403):
        return denied(f"the lookup service at {base}", answer, hint="give a token that it accepts")
    if answer.status >= 500 or answer.status in (408, 429):
        error = unreachable(base, f"it answered {answer.status}: {said}", status=answer.status)
        return Failure(Trouble.NO_LOOKUP, error, retry_after_s=answer.retry_after_s)
    return Failure(Trouble.FINAL, _unlike(answer, base))


def _unlike(answer: Answer, base: str) -> P2PError:
    return unlike("a lookup service", answer, base, hint="is the address right?")


def _workers(found: Any, *, many: bool) -> list[Worker]:
    """The answer's workers; raises ValueError, TypeError or KeyError if it holds none."""
    workers = [_worker(entry) for entry in (found if many else [found])]
    if not workers:
        raise ValueError("an empty list")
    return workers


def _worker(entry: dict[str, Any]) -> Worker:
    texts = [entry["service"], entry["id"], entry["host"], entry.get("version", ""), entry.get("boot", "")]
    health = entry.get("health", "passing")
    port, weight = entry["port"], entry.get("weight", 1)
    if not all(isinstance(text, str) for text in (*texts, health)) or type(port) is not int or type(weight) is not int:
        raise TypeError("a field of the wrong type")
    service, name, host, version, boot = texts
    if not (0 < port < 65536 and weight >= 0):
        raise ValueError("no such port or weight")
    URL.build(scheme="http", host=host, port=port)  # raises ValueError where no request could be sent
    return Worker(service, name, host, port, version, boot, max(1, weight), health)


def _service(entry: dict[str, Any]) -> Service:
    versions = tuple(str(version) for version in entry["versions"])
    return Service(str(entry["name"]), int(entry["instances"]), int(entry["serving"]), versions)
