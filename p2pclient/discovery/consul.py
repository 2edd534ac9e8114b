"""Consul in a lookup service's place: the same questions, asked at an agent's own HTTP API.

    GET /v1/health/service/NAME?stale&index=&wait=      all instances with their checks; waits for a change
    GET /v1/catalog/services?stale                      names and tags
What the answers mean is decided in `consul_answers`. Consul has no rotation: `next` draws at random.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from urllib.parse import quote

from yarl import URL

from p2pclient.discovery.base import Listing
from p2pclient.discovery.consul_health import Belief, heard, judge
from p2pclient.discovery.failover import Servers, unreachable
from p2pclient.discovery.health_filter import SERVING, Eligible
from p2pclient.errors import LookupUnavailable, NoWorker, P2PError, ProtocolError
from p2pclient.retrying.retry_policy import Failure, Trouble
from p2pclient.transport.http import Answer, Wire
from p2pclient.types import Service, Worker

DEFAULT_SERVICE = "classify"
TAG = "p2p"
"""The tag of every service that this project's workers registered."""

WAIT_S = 55.0
"""How long a blocking query waits: below the minute after which proxies tend to cut idle connections."""

_MALFORMED = (ValueError, TypeError, LookupError, RecursionError)


class Consul:
    """The Consul agents at these base URLs: a `Source`. `token` is an ACL token, for them and nobody else."""

    backoff_max_s = 30.0

    def __init__(self, wire: Wire, urls: Sequence[URL], *, token: str | None = None) -> None:
        headers = {} if token is None else {"X-Consul-Token": token}
        self._servers = Servers(wire, random.sample(urls, len(urls)), headers, _refusal)
        self._beliefs: dict[str, Belief] = {}
        self._eligible: dict[str, Eligible] = {}

    async def next(self, service: str | None, *, count: int | None, limit_s: float) -> list[Worker]:
        """A healthy worker drawn at random or, with `count`, up to that many different ones; never none."""
        listing = await self.listing(service, index=0, limit_s=limit_s)
        if not listing.workers:
            known = f"Consul knows no service {listing.service}: is a worker registered, may the token read it?"
            raise Failure(Trouble.NO_WORKER, NoWorker(known), retry_after_s=1.0)
        if not listing.serving:
            raise Failure(Trouble.NO_WORKER, NoWorker(f"No worker of {listing.service} is healthy."), retry_after_s=1.0)
        return random.sample(listing.serving, min(count or 1, len(listing.serving)))

    async def listing(self, service: str | None, *, index: int, limit_s: float) -> Listing:
        """All workers: at once for index 0, else when there was a change, or after a minute."""
        name = service or DEFAULT_SERVICE
        belief = self._beliefs.get(name, Belief())
        query = "?stale"
        if index:
            wait_s = WAIT_S
            if belief.suspect_until_s is not None:  # what is held is asked for again when its time is over
                wait_s = min(WAIT_S, max(0.1, belief.suspect_until_s - time.monotonic()))
            query += f"&index={index}&wait={int(wait_s * 1000)}ms"
            limit_s += wait_s * 17 / 16  # Consul adds up to a sixteenth
        path = f"/v1/health/service/{quote(name, safe='')}{query}"
        answer, base = await self._servers.ask(path, limit_s=limit_s, waits=bool(index))
        try:
            said = heard(answer.headers, answer.json())
        except _MALFORMED as error:
            raise Failure(Trouble.FINAL, _stranger(answer, base)) from error
        belief = judge(self._beliefs.get(name, Belief()), said, now_s=time.monotonic())
        self._beliefs[name] = belief
        serving = self._eligible.setdefault(name, Eligible()).among(belief.workers)
        return Listing(name, belief.index, belief.workers, serving, answer.number("X-Consul-LastContact") / 1000)

    async def services(self, *, limit_s: float) -> list[Service]:
        """Every service with the tag that this project's workers carry."""
        answer, base = await self._servers.ask("/v1/catalog/services?stale", limit_s=limit_s)
        try:
            names = sorted(name for name, tags in answer.json().items() if TAG in tags)
        except (*_MALFORMED, AttributeError) as error:
            raise Failure(Trouble.FINAL, _stranger(answer, base)) from error
        listings = await asyncio.gather(*(self.listing(name, index=0, limit_s=limit_s) for name in names))
        return [_summary(listing) for listing in listings]


def _summary(listing: Listing) -> Service:
    serving = sum(worker.health in SERVING for worker in listing.workers)
    versions = sorted({worker.version for worker in listing.workers if worker.version})
    return Service(listing.service, len(listing.workers), serving, tuple(versions))


def _refusal(answer: Answer, base: str) -> Failure:
    if answer.status == 403:
        denied = f"Consul at {base} refused ({answer.sentence()}): give a token with service:read and node:read"
        return Failure(Trouble.FINAL, LookupUnavailable(denied, status=403))
    if answer.status >= 500 or answer.status == 429:
        error = unreachable(base, f"Consul answered {answer.status}: {answer.sentence()}", status=answer.status)
        return Failure(Trouble.NO_LOOKUP, error, retry_after_s=answer.retry_after_s)
    return Failure(Trouble.FINAL, _stranger(answer, base))


def _stranger(answer: Answer, base: str) -> P2PError:
    return ProtocolError(
        f"{base} does not answer as Consul does ({answer.status} {answer.sentence()!r}): is the address right?",
        status=answer.status,
    )
