"""A DNS query in, the reply out: what the name means, who is next in the directory's rotation, which records.

Each answer that names workers moves the rotation on by one, as a lookup over HTTP does: the first record is
the worker whose turn it is, and those after it follow in their order. The rest of a long set comes later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import dns.rcode
import dns.rdataclass
import dns.rdatatype

from registry.discovery.directory import ANY, Wanted
from registry.discovery.reconcile import Belief
from registry.discovery.rotation import Rotation
from registry.dns.message import TCP_MOST_BYTES, Query, Reply, write
from registry.dns.zone import Place, Records, Wish, found, missing, of_address, of_workers, of_zone, understand

ADDRESS_BYTES, SRV_BYTES = 16, 24
"""What a record takes at least: more than so many of these need not be made for an answer of limited size."""

TCP_RECORDS_AT_MOST = 100
"""Enough to choose from. They always fit, and are built in a few milliseconds, for which lookups wait."""

WORKERS_AT_MOST = 1000
"""Workers that are looked at for an answer: many may share an address."""

_REFUSED = Reply(dns.rcode.REFUSED, authoritative=False)
_FAILED = Reply(dns.rcode.SERVFAIL, authoritative=False)


class Followed(Protocol):
    """What is asked of a followed service: see `registry.discovery.directory.Service`."""

    @property
    def belief(self) -> Belief:
        """What is known of it."""

    def rotation(self, wanted: Wanted = ANY) -> Rotation:
        """Who serves, and who is next."""

    async def known(self, *, timeout_s: float) -> bool:
        """Wait until anything is known."""


class Listing(Protocol):
    """What is asked of all services: see `registry.discovery.directory.Directory`."""

    @property
    def ready(self) -> bool:
        """Whether Consul has answered yet."""

    @property
    def names(self) -> Sequence[str]:
        """All services."""

    def exists(self, name: str) -> bool:
        """Whether there is such a service."""

    def find(self, name: str) -> Followed | None:
        """The service of exactly that name, followed from now on."""


class Resolver:
    """Answers queries from a listing of services. `datacenter` is the one that the workers are in."""

    def __init__(self, listing: Listing, *, datacenter: str = "dc1") -> None:
        self.datacenter = datacenter
        self._listing = listing

    def unknown(self, query: Query) -> Followed | None:
        """The service that must be waited for before the query can be answered; None where nothing must."""
        asked = understand(query.name, datacenter=self.datacenter)
        service = self._find(asked.service) if isinstance(asked, Wish) else None
        return service if service is not None and not service.belief.known else None

    def answer(self, query: Query, *, over_tcp: bool) -> bytes:
        """The answer from what is known now; where that is nothing, SERVFAIL, so that another server is asked."""
        reply = self._reply(query, over_tcp=over_tcp)
        return write(query, reply, most_bytes=TCP_MOST_BYTES if over_tcp else query.udp_bytes)

    def _reply(self, query: Query, *, over_tcp: bool) -> Reply:
        serial = int(time.time())
        asked = understand(query.name, datacenter=self.datacenter)
        transfer = query.kind in (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
        if asked is Place.ELSEWHERE or query.rdclass != dns.rdataclass.IN or transfer:
            return _REFUSED
        if isinstance(asked, Wish):
            return self._workers(query, asked, serial, over_tcp=over_tcp)
        if not isinstance(asked, Place):
            return found(of_address(query.name, query.kind, asked), serial=serial)
        if asked is Place.NOWHERE:
            return missing(serial=serial)
        return found(of_zone(query.kind, serial=serial) if asked is Place.APEX else Records(), serial=serial)

    def _workers(self, query: Query, wish: Wish, serial: int, *, over_tcp: bool) -> Reply:
        service = self._find(wish.service)
        if service is None:
            waiting = not self._listing.ready or self._listing.exists(self._spelled(wish.service))
            return _FAILED if waiting else missing(serial=serial)
        if not service.belief.known:
            return _FAILED
        rotation = _rotation(service, wish.tag)
        if not rotation:
            return missing(serial=serial)
        records = of_workers(
            query.name,
            query.kind,
            rotation.ahead(WORKERS_AT_MOST),
            datacenter=self.datacenter,
            at_most=TCP_RECORDS_AT_MOST if over_tcp else _fitting(query),
        )
        if records.answer:  # who asks for A and AAAA at once, and gets one of them, has had one turn
            rotation.next()
        # Over TCP there is no asking again for more, so an answer there is never marked as a part.
        whole = over_tcp or (records.whole and len(rotation) <= WORKERS_AT_MOST)
        return found(replace(records, whole=whole), serial=serial)

    def _find(self, name: str) -> Followed | None:
        return self._listing.find(self._spelled(name))

    def _spelled(self, name: str) -> str:
        """The service's name as it is registered: domain names have no case (RFC 4343)."""
        lower = name.lower()
        if self._listing.exists(lower):
            return lower
        return next((other for other in self._listing.names if other.lower() == lower), lower)


def _fitting(query: Query) -> int:
    return query.udp_bytes // (SRV_BYTES if query.kind == dns.rdatatype.SRV else ADDRESS_BYTES)


def _rotation(service: Followed, tag: str) -> Rotation:
    """Those with the tag, in the spelling that the service's workers have for it."""
    if not tag:
        return service.rotation()
    rotation = service.rotation(Wanted(tags=frozenset({tag})))
    if not rotation:
        spellings = {t for i in service.belief.snapshot.instances for t in i.tags if t.lower() == tag.lower()}
        rotation = service.rotation(Wanted(tags=frozenset({min(spellings, default=tag)})))
    return rotation
