"""Answers a DNS query from the directory: parses the name, takes the next workers of the rotation, makes records.

Each answer that names workers moves the rotation on by one, as a lookup over HTTP does: the first record is the worker
whose turn it is, and the next ones follow in order. Later answers hold the rest of a long set. Where calls are split
among versions, an answer holds workers of the version whose turn it is only, so that the split also holds for clients
that choose among the records by themselves.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Protocol

import dns.rcode
import dns.rdataclass
import dns.rdatatype

from registry.discovery.rotations.selector import ANY, Selector
from registry.discovery.rotations.split_rotation import AnyRotation
from registry.discovery.snapshot import Snapshot
from registry.dns.message import TCP_MOST_BYTES, Query, Reply, write
from registry.dns.records import Records, address_records, apex_records, existing, nonexistent, service_records
from registry.dns.zone import OtherName, ServiceName, parse_name

ADDRESS_BYTES, SRV_BYTES = 16, 24
"""The least size of a record: it bounds how many records are made for an answer of limited size."""

TCP_RECORDS_AT_MOST = 100
"""Enough to choose from. They always fit, and take a few milliseconds to make, during which lookups wait."""

WORKERS_AT_MOST = 1000
"""The most workers that are considered for an answer: many may share an address."""

_REFUSED = Reply(dns.rcode.REFUSED, authoritative=False)
_FAILED = Reply(dns.rcode.SERVFAIL, authoritative=False)


class FollowedService(Protocol):
    """The part of `registry.discovery.service.Service` that is used here."""

    @property
    def snapshot(self) -> Snapshot:
        """The instances as known now."""

    def rotation(self, selector: Selector = ANY) -> AnyRotation:
        """The rotation over the instances that `selector` matches."""

    async def wait_until_known(self) -> bool:
        """Wait for the first answer of Consul."""


class Services(Protocol):
    """The part of `registry.discovery.directory.Directory` that is used here."""

    @property
    def ready(self) -> bool:
        """Whether Consul has answered yet."""

    def registered_name(self, name: str) -> str:
        """The name as it is registered, where `name` differs from it in case only; else `name` in lower case."""

    def exists(self, name: str) -> bool:
        """Whether there is such a service."""

    def find(self, name: str) -> FollowedService | None:
        """The service of exactly that name, followed from now on."""


class Resolver:
    """Answers queries from `services`. `datacenter` is the one that the workers are in."""

    def __init__(self, services: Services, *, datacenter: str = "dc1") -> None:
        self.datacenter = datacenter
        self._services = services

    def awaited_service(self, query: Query) -> FollowedService | None:
        """The service of which nothing is known yet, for which the answer has to wait; None where there is none."""
        asked = parse_name(query.name, datacenter=self.datacenter)
        service = self._find(asked.service) if isinstance(asked, ServiceName) else None
        return service if service is not None and not service.snapshot.known else None

    def answer(self, query: Query, *, over_tcp: bool) -> bytes:
        """The answer from what is known now; SERVFAIL where that is nothing, so that clients ask another server."""
        reply = self._reply(query, over_tcp=over_tcp)
        return write(query, reply, most_bytes=TCP_MOST_BYTES if over_tcp else query.udp_bytes)

    def _reply(self, query: Query, *, over_tcp: bool) -> Reply:
        serial = int(time.time())
        asked = parse_name(query.name, datacenter=self.datacenter)
        transfer = query.kind in (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
        if asked is OtherName.OUT_OF_ZONE or query.rdclass != dns.rdataclass.IN or transfer:
            return _REFUSED
        if isinstance(asked, ServiceName):
            return self._workers(query, asked, serial, over_tcp=over_tcp)
        if not isinstance(asked, OtherName):
            return existing(address_records(query.name, query.kind, asked), serial=serial)
        if asked is OtherName.NONEXISTENT:
            return nonexistent(serial=serial)
        return existing(
            apex_records(query.kind, serial=serial) if asked is OtherName.APEX else Records(), serial=serial
        )

    def _workers(self, query: Query, asked: ServiceName, serial: int, *, over_tcp: bool) -> Reply:
        service = self._find(asked.service)
        if service is None:
            waiting = not self._services.ready or self._services.exists(self._services.registered_name(asked.service))
            return _FAILED if waiting else nonexistent(serial=serial)
        if not service.snapshot.known:
            return _FAILED
        rotation = _rotation(service, asked.tag)
        if not rotation:
            return nonexistent(serial=serial)
        records = service_records(
            query.name,
            query.kind,
            rotation.ahead(WORKERS_AT_MOST),
            datacenter=self.datacenter,
            at_most=TCP_RECORDS_AT_MOST if over_tcp else _fitting(query),
        )
        if records.answer:  # a client that asks for A and AAAA at once, and gets one of them, uses one turn
            rotation.next()
        # A truncated answer makes clients ask again over TCP: one over TCP is never marked as truncated.
        complete = over_tcp or (records.complete and len(rotation) <= WORKERS_AT_MOST)
        return existing(replace(records, complete=complete), serial=serial)

    def _find(self, name: str) -> FollowedService | None:
        return self._services.find(self._services.registered_name(name))  # domain names have no case (RFC 4343)


def _fitting(query: Query) -> int:
    return query.udp_bytes // (SRV_BYTES if query.kind == dns.rdatatype.SRV else ADDRESS_BYTES)


def _rotation(service: FollowedService, tag: str) -> AnyRotation:
    """The rotation over the workers with the tag, in whatever case they spell it."""
    if not tag:
        return service.rotation()
    rotation = service.rotation(Selector(tags=frozenset({tag})))
    if not rotation:
        spellings = {t for i in service.snapshot.instances for t in i.tags if t.lower() == tag.lower()}
        rotation = service.rotation(Selector(tags=frozenset({min(spellings, default=tag)})))
    return rotation
